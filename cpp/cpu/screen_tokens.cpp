#include "cpu/screen_tokens.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/thread_pool.h"
#include "cpu/screen_bound.h"

namespace monosem::cpu {
namespace {

constexpr int64_t kTileRows = 16;  // of an AMX tile
// Of digits in one panel: half a second-level cache of 2 MB. The rest is for two panels of weights.
constexpr int64_t kPanelBytes = 1 << 20;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Puts one row of digits into a panel of `rows`.
void place_digits(const Microkernels& kernels, const uint32_t* digits, int64_t units, int64_t row,
                  int64_t rows, uint32_t* panel) {
  if (kernels.digits_in_tiles) {
    panel += row / kTileRows * kTileRows * units + row % kTileRows * kUnitPadding;
    for (int64_t k = 0; k < units; k += kUnitPadding)
      std::memcpy(panel + k * kTileRows, digits + k, kUnitPadding * sizeof *digits);
  } else {
    for (int64_t k = 0; k < units; ++k) panel[k * rows + row] = digits[k];
  }
}

/// A panel of digits may be taller than a float32 tile: the height of the one that begins at row r.
int64_t float_height(const Microkernels& kernels, int64_t rows, int64_t r) {
  return std::min<int64_t>(kernels.tile_rows, rows - r);
}

}  // namespace

ScreenTokens quantise_tokens(const ScreenForm& form, int64_t d_in, const float* x, int64_t tokens,
                             int digits) {
  const Microkernels& kernels = *form.kernels;
  const int64_t keep = static_cast<int64_t>(form.kept.size());
  const int64_t near_rows = std::max<int64_t>(kTileRows, kPanelBytes / (4 * form.units));
  const int64_t most_rows = std::min<int64_t>(kernels.digit_rows, near_rows);
  const int64_t panels = divide_up(tokens, most_rows / digits);
  const int64_t tallest = divide_up(tokens, panels);
  const int64_t padding = kernels.digits_in_tiles ? kTileRows : 1;
  const int64_t panel_units = divide_up(tallest * digits, padding) * padding * form.units;
  ScreenTokens out{tokens,
                   panels,
                   digits,
                   panel_units,
                   Memory<uint32_t>(panels * panel_units),
                   std::vector<float>(tokens * digits),
                   Memory<float>(tokens * keep + 16),
                   std::vector<float>(tokens),
                   std::vector<float>(tokens)};
  const float most = digits == 2 ? 8127.0f : 127.0f;
  const uint32_t bias = digits == 2 ? 129 * 64 : 128;
  // A panel as tall as a float32 tile, or taller, is quantised by one such tile at a time.
  const int64_t parts = divide_up(tallest, kernels.tile_rows);
  ThreadPool::instance().run(panels * parts, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch centred_scratch;
    static thread_local std::vector<uint32_t> digit_units;
    digit_units.resize(static_cast<size_t>(2 * form.units));
    uint32_t *high_units = digit_units.data(), *low_units = high_units + form.units;
    uint8_t* high = reinterpret_cast<uint8_t*>(high_units);
    uint8_t* low = reinterpret_cast<uint8_t*>(low_units);
    float* centred = centred_scratch.floats(2 * d_in);
    float* shifted_integers = centred + d_in;
    for (int64_t part = begin; part < end; ++part) {
      const int64_t panel = part / parts, row = part % parts * kernels.tile_rows;
      const int64_t first = out.token_of(panel), rows = out.token_of(panel + 1) - first;
      const int64_t height = float_height(kernels, rows, row);
      if (height <= 0) continue;
      uint32_t* const packed = out.units.get() + panel * panel_units;
      for (int64_t r = row; r < row + height; ++r) {
        const int64_t t = first + r;
        for (int64_t i = 0; i < d_in; ++i) centred[i] = x[t * d_in + i] - form.center[i];
        double outliers = 0;
        for (int64_t k = 0; k < keep; ++k) {
          const float value = centred[form.kept[k]];
          out.kept[(first + row) * keep + k * height + r - row] = value;
          outliers += static_cast<double>(value) * value;
          centred[form.kept[k]] = 0.0f;
        }
        const float largest = kernels.largest_magnitude(centred, d_in);
        const bool finite = std::isfinite(largest) && std::isfinite(outliers);
        // As for weights: what cannot be scaled is all error, what is not finite has no bound.
        const bool usable = finite && largest / most >= kLeastTokenScale;
        const float inverse = usable ? most / largest : 0.0f,
                    scale = usable ? largest / most : 0.0f;
        const Quantised sums = kernels.quantise(centred, d_in, inverse, scale, shifted_integers);
        double error = 0, size = std::sqrt(static_cast<double>(sums.size)) * scale;
        if (usable)
          error = std::sqrt(static_cast<double>(sums.error)) / inverse;
        else
          for (int64_t i = 0; i < d_in; ++i) error = std::hypot(error, centred[i]);
        for (int64_t i = 0; i < d_in; ++i) {
          const uint32_t digit = std::bit_cast<uint32_t>(shifted_integers[i]) + bias;
          high[i] = static_cast<uint8_t>(digits == 2 ? digit >> 7 & 127 : digit);
          low[i] = static_cast<uint8_t>(digit & 127);
        }
        place_digits(kernels, high_units, form.units, r, rows * digits, packed);
        if (digits == 2)
          place_digits(kernels, low_units, form.units, rows + r, rows * digits, packed);
        float* scales = out.scale.data() + first * digits;
        scales[r] = digits == 2 ? 128.0f * scale : scale;
        if (digits == 2) scales[rows + r] = scale;
        // Rounded once per dimension: centring and, without a fused multiply-add, scale * integer.
        // The kept dimensions' float32 sum, once per term. The sums of squares, once per term of
        // which all are positive: relative.
        const double norm = size + error, kept_norm = std::sqrt(outliers);
        const double slack = 1 + static_cast<double>(d_in + 16) * kRounding;
        const double rounding =
            4 * kRounding * norm +
            (static_cast<double>(keep) * kRounding + kEstimateRoundings) * kept_norm;
        out.by_norm[t] = raised(error * slack + rounding);
        out.by_error[t] = raised(size * slack);
        if (!finite) out.by_norm[t] = out.by_error[t] = std::numeric_limits<float>::quiet_NaN();
      }
      if (row + height != rows) continue;
      std::fill_n(high_units, form.units, 0u);
      for (int64_t r = rows * digits; r % padding != 0; ++r)
        place_digits(kernels, high_units, form.units, r, rows * digits, packed);
    }
  });
  return out;
}

void screen_tile(const ScreenForm& form, const ScreenTokens& tokens, int64_t token_panel,
                 int64_t feature_panel, int64_t next_panel, float* c, int64_t c_stride) {
  const Microkernels& kernels = *form.kernels;
  const int64_t first = tokens.token_of(token_panel);
  const int64_t rows = tokens.token_of(token_panel + 1) - first;
  const int64_t feature = feature_panel * form.width;
  const int64_t keep = static_cast<int64_t>(form.kept.size());
  for (int64_t r = 0; r < rows;) {
    const int64_t height = float_height(kernels, rows, r);
    kernels.tile[height - 1](keep, tokens.kept.get() + (first + r) * keep,
                             form.kept_panels.get() + feature * keep, c + r * c_stride, c_stride,
                             false, {});
    r += height;
  }
  const DigitScales scales{tokens.scale.data() + first * tokens.digits, form.scale.get() + feature,
                           form.sum.get() + feature, tokens.digits == 2 ? 64 : 128};
  const uint32_t* x = tokens.units.get() + token_panel * tokens.panel_units;
  const auto weights = [&](int64_t panel) {
    return panel < 0 ? nullptr : form.panels.get() + panel * form.width * form.units;
  };
  const uint32_t *w = weights(feature_panel), *next = weights(next_panel);
  if (tokens.digits == 1)
    return kernels.digit_tile(rows, form.units, x, w, next, scales, c, c_stride);
  static thread_local Scratch both_digits;
  float* sums = both_digits.floats(2 * rows * form.width);
  std::fill_n(sums, 2 * rows * form.width, 0.0f);
  kernels.digit_tile(2 * rows, form.units, x, w, next, scales, sums, form.width);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < form.width; ++j)
      c[r * c_stride + j] += sums[r * form.width + j] + sums[(rows + r) * form.width + j];
}

}  // namespace monosem::cpu
