#include "cpu/screen_form.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/thread_pool.h"
#include "cpu/kernels/storage.h"
#include "cpu/sae_plan.h"

namespace monosem::cpu {
namespace {

constexpr int64_t kTileRows = 16;     // of an AMX tile, each
constexpr int64_t kUnitPadding = 16;  // of this many units
constexpr float kWeightDigits = 127.0f;
// One rounding of float32, relative.
constexpr double kRounding = 0x1p-24;
// Roundings between the exact integer sum and the estimate: its conversion, two scales, the sum
// with the kept dimensions, with some to spare.
constexpr double kEstimateRoundings = 16 * kRounding;
// Tokens from which a calibration is final.
constexpr int64_t kCalibrationTokens = 32;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The largest float32 below the limit by more than evaluating a bound against it can round.
float lowered(double limit) {
  if (!std::isfinite(limit)) return static_cast<float>(limit);
  return static_cast<float>(limit - 8 * 0x1p-23 * std::fabs(limit) - 0x1p-140);
}

float raised(double bound) { return static_cast<float>(bound * (1 + kBoundSlack) + 0x1p-140); }

/// The sum of term(i) over [0, count), in four parts so that the additions overlap.
template <class Term>
double sum_of(int64_t count, const Term& term) {
  double parts[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int64_t part = 0; part < 4; ++part) parts[part] += term(i + part);
  for (; i < count; ++i) parts[0] += term(i);
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

/// Digits of one feature, and what quantising them cost.
void quantise_feature(const float* w, int64_t d_in, int8_t* digits, ScreenForm& form, int64_t f) {
  float largest = 0;
  for (int64_t i = 0; i < d_in; ++i) largest = std::max(largest, std::fabs(w[i]));
  const double norm = sum_of(d_in, [&](int64_t i) { return static_cast<double>(w[i]) * w[i]; });
  const float inverse = kWeightDigits / largest;
  // Weights that are not finite, or too small to scale, keep digits of 0: then all of the weight is
  // error, or NaN, and the feature is always a candidate.
  const bool usable = std::isfinite(norm) && largest > 0 && std::isfinite(inverse);
  const float scale = usable ? largest / kWeightDigits : 0.0f;
  int32_t sum = 0;
  int64_t squares = 0;
  for (int64_t i = 0; i < d_in; ++i) {
    const int digit = usable ? static_cast<int>(std::lrintf(w[i] * inverse)) : 0;
    digits[i] = static_cast<int8_t>(digit);
    sum += digit;
    squares += digit * digit;
  }
  const double error = sum_of(d_in, [&](int64_t i) {
    const double off = w[i] - static_cast<double>(scale) * digits[i];
    return off * off;
  });
  const double kept = static_cast<double>(scale) * scale * static_cast<double>(squares);
  form.scale[f] = scale;
  form.sum[f] = sum;
  form.norm[f] = raised(std::sqrt(norm));
  form.error[f] = raised(std::sqrt(error) + kEstimateRoundings * std::sqrt(kept));
}

int64_t padded_units(const monosem_sae_encoder& e) {
  return divide_up(divide_up(e.d_in, 4), kUnitPadding) * kUnitPadding;
}

/// One dimension in 64, at most 32: about 5 % more multiply-adds, as float32 costs four times more.
int64_t kept_dimensions(const monosem_sae_encoder& e) { return std::min<int64_t>(32, e.d_in / 64); }

/// W_enc as rows of d_in values in its own dtype, where it is not stored that way.
void build_rows(const monosem_sae_encoder& e, ScreenForm& form) {
  const Operand w = encoder_operand(e);
  if (w.depth_stride == 1) {
    form.rows = w;
    return;
  }
  const int64_t item = bytes_of(w.dtype);
  form.own_rows = Memory<char>(e.d_sae * e.d_in * item);
  form.rows = {form.own_rows.get(), w.dtype, e.d_in, 1};
  form.row_bytes = static_cast<uint64_t>(e.d_sae * e.d_in * item);
  monosem_view rows{form.own_rows.get(), w.dtype, 2, {e.d_sae, e.d_in}, {e.d_in, 1}};
  monosem_view stored = e.w_enc;
  std::swap(stored.shape[0], stored.shape[1]);
  std::swap(stored.stride[0], stored.stride[1]);
  copy(rows, stored);
}

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

/// The centre, and the dimensions with the most energy around it.
void choose_calibration(const monosem_sae_encoder& e, const float* x, int64_t tokens,
                        ScreenForm& form) {
  std::vector<double> mean(e.d_in, 0.0), energy(e.d_in, 0.0);
  int64_t finite = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const float* row = x + t * e.d_in;
    if (!std::isfinite(std::accumulate(row, row + e.d_in, 0.0))) continue;
    ++finite;
    for (int64_t i = 0; i < e.d_in; ++i) mean[i] += row[i];
  }
  form.center.assign(e.d_in, 0.0f);
  for (int64_t i = 0; i < e.d_in; ++i) {
    if (e.center != nullptr)
      form.center[i] = e.center[i];
    else if (finite >= kCalibrationTokens)
      form.center[i] = static_cast<float>(mean[i] / static_cast<double>(finite));
    if (!std::isfinite(form.center[i])) form.center[i] = 0.0f;
  }
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < e.d_in; ++i) {
      const double off = static_cast<double>(x[t * e.d_in + i]) - form.center[i];
      if (std::isfinite(off)) energy[i] += off * off;
    }
  const int64_t keep = kept_dimensions(e);
  form.kept.resize(e.d_in);
  std::iota(form.kept.begin(), form.kept.end(), 0);
  std::partial_sort(
      form.kept.begin(), form.kept.begin() + keep, form.kept.end(),
      [&](int64_t a, int64_t b) { return energy[a] != energy[b] ? energy[a] > energy[b] : a < b; });
  form.kept.resize(keep);
  std::sort(form.kept.begin(), form.kept.end());
  form.calibrated_tokens = tokens;
}

}  // namespace

void ScreenForm::release() {
  ScreenForm empty;
  empty.calibrated_tokens = calibrated_tokens;
  empty.center = std::move(center);
  empty.kept = std::move(kept);
  *this = std::move(empty);
}

uint64_t screen_bytes(const monosem_sae_encoder& e, const Microkernels& kernels) {
  const int64_t width = kernels.tile_columns, padded = divide_up(e.d_sae, width) * width;
  const int64_t per_feature = 4 * padded_units(e) + 6 * 4 + 4 * kept_dimensions(e);
  const Operand w = encoder_operand(e);
  const int64_t rows = w.depth_stride == 1 ? 0 : e.d_sae * e.d_in * bytes_of(w.dtype);
  return static_cast<uint64_t>(padded * per_feature + rows);
}

void build_screen(const monosem_sae_encoder& e, const Microkernels& kernels, ScreenForm& form) {
  form.release();
  form.kernels = &kernels;
  form.width = kernels.tile_columns;
  form.units = padded_units(e);
  build_rows(e, form);
  const int64_t panels = divide_up(e.d_sae, form.width), padded = panels * form.width;
  form.panels = Memory<uint32_t>(padded * form.units);
  form.scale = Memory<float>(padded);
  form.sum = Memory<int32_t>(padded);
  form.norm = Memory<float>(padded);
  form.error = Memory<float>(padded);
  form.shift = Memory<float>(padded);
  form.limit = Memory<float>(padded);
  form.bytes += static_cast<uint64_t>(padded) * (form.units * 4 + 6 * 4);
  ThreadPool::instance().run(panels, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> row(e.d_in);
    std::vector<uint32_t> digits(form.width * form.units);
    for (int64_t panel = begin; panel < end; ++panel) {
      std::fill(digits.begin(), digits.end(), 0u);
      for (int64_t lane = 0; lane < form.width; ++lane) {
        const int64_t f = panel * form.width + lane;
        if (f >= e.d_sae) {
          form.scale[f] = form.norm[f] = form.error[f] = 0.0f;
          form.sum[f] = 0;
          continue;
        }
        const FloatRows w = float_rows(kernels, form.rows.at(f, 0), 1, e.d_in, row.data());
        quantise_feature(w.data, e.d_in, reinterpret_cast<int8_t*>(&digits[lane * form.units]),
                         form, f);
      }
      uint32_t* to = form.panels.get() + panel * form.width * form.units;
      for (int64_t k = 0; k < form.units; ++k)
        for (int64_t lane = 0; lane < form.width; ++lane)
          to[k * form.width + lane] = digits[lane * form.units + k];
    }
  });
}

void calibrate_screen(const monosem_sae_encoder& e, const float* x, int64_t tokens,
                      ScreenForm& form) {
  const bool chosen = form.calibrated_tokens >= std::min(tokens, kCalibrationTokens);
  if (chosen && form.kept_panels.get() != nullptr) return;
  if (!chosen) choose_calibration(e, x, tokens, form);

  const int64_t keep = static_cast<int64_t>(form.kept.size());
  const int64_t panels = divide_up(e.d_sae, form.width);
  const Microkernels& kernels = *form.kernels;
  form.bytes -=
      form.kept_panels.get() == nullptr ? 0 : static_cast<uint64_t>(panels * form.width * keep * 4);
  form.kept_panels = Memory<float>(panels * form.width * keep + 16);
  form.bytes += static_cast<uint64_t>(panels * form.width * keep * 4);
  ThreadPool::instance().run(panels, 1, [&](int64_t begin, int64_t end, int) {
    std::vector<float> row(e.d_in);
    for (int64_t panel = begin; panel < end; ++panel)
      for (int64_t lane = 0; lane < form.width; ++lane) {
        const int64_t f = panel * form.width + lane;
        float* to = form.kept_panels.get() + panel * form.width * keep + lane;
        if (f >= e.d_sae) {
          for (int64_t k = 0; k < keep; ++k) to[k * form.width] = 0.0f;
          form.shift[f] = 0.0f;
          form.limit[f] = std::numeric_limits<float>::infinity();
          continue;
        }
        const float* w = float_rows(kernels, form.rows.at(f, 0), 1, e.d_in, row.data()).data;
        for (int64_t k = 0; k < keep; ++k) to[k * form.width] = w[form.kept[k]];
        const double shift =
            sum_of(e.d_in, [&](int64_t i) { return static_cast<double>(w[i]) * form.center[i]; });
        form.shift[f] = static_cast<float>(shift);
        // TopK compares the bounds of a token with each other, not with a threshold.
        if (e.theta == nullptr) continue;
        // Active needs both: sum + shift + gate_bias > theta, and a positive value.
        double limit = static_cast<double>(e.theta[f]) - e.gate_bias[f];
        const double scale = e.scale == nullptr ? 1.0 : e.scale[f];
        if (scale > 0) {
          const double positive = -static_cast<double>(e.bias[f]) / scale;
          if (positive > limit) limit = positive;
        }
        form.limit[f] = lowered(limit - shift);
      }
  });
}

ScreenTokens quantise_tokens(const ScreenForm& form, int64_t d_in, const float* x, int64_t tokens,
                             int digits) {
  const Microkernels& kernels = *form.kernels;
  const int64_t keep = static_cast<int64_t>(form.kept.size());
  const int64_t panels = divide_up(tokens, kernels.digit_rows / digits);
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
  const int bias = digits == 2 ? 129 * 64 : 128;
  // A panel as tall as a float32 tile, or taller, is quantised by one such tile at a time.
  const int64_t parts = divide_up(tallest, kernels.tile_rows);
  ThreadPool::instance().run(panels * parts, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch centred_scratch;
    static thread_local std::vector<uint32_t> digit_units;
    digit_units.resize(static_cast<size_t>(2 * form.units));
    uint32_t *high_units = digit_units.data(), *low_units = high_units + form.units;
    uint8_t* high = reinterpret_cast<uint8_t*>(high_units);
    uint8_t* low = reinterpret_cast<uint8_t*>(low_units);
    float* centred = centred_scratch.floats(d_in);
    for (int64_t part = begin; part < end; ++part) {
      const int64_t panel = part / parts, row = part % parts * kernels.tile_rows;
      const int64_t first = out.token_of(panel), rows = out.token_of(panel + 1) - first;
      const int64_t height = float_height(kernels, rows, row);
      if (height <= 0) continue;
      uint32_t* const packed = out.units.get() + panel * panel_units;
      for (int64_t r = row; r < row + height; ++r) {
        const int64_t t = first + r;
        double all = 0, outliers = 0;
        for (int64_t i = 0; i < d_in; ++i) {
          centred[i] = x[t * d_in + i] - form.center[i];
          all += static_cast<double>(centred[i]) * centred[i];
        }
        for (int64_t k = 0; k < keep; ++k) {
          const float value = centred[form.kept[k]];
          out.kept[(first + row) * keep + k * height + r - row] = value;
          outliers += static_cast<double>(value) * value;
          centred[form.kept[k]] = 0.0f;
        }
        float largest = 0;
        for (int64_t i = 0; i < d_in; ++i) largest = std::max(largest, std::fabs(centred[i]));
        const float inverse = most / largest;
        // As for weights: what cannot be scaled is all error, what is not finite has no bound.
        const bool usable = std::isfinite(all) && largest > 0 && std::isfinite(inverse);
        const float scale = usable ? largest / most : 0.0f;
        double error = 0, size = 0;
        for (int64_t i = 0; i < form.units * 4; ++i) {
          const float value = usable && i < d_in ? centred[i] : 0.0f;
          const int q = usable ? static_cast<int>(std::lrintf(value * inverse)) : 0;
          if (digits == 2) {
            high[i] = static_cast<uint8_t>((q + bias) >> 7);
            low[i] = static_cast<uint8_t>((q + bias) & 127);
          } else {
            high[i] = static_cast<uint8_t>(q + bias);
          }
          if (i >= d_in) continue;
          const double quantised = static_cast<double>(scale) * q, off = centred[i] - quantised;
          error += off * off;
          size += quantised * quantised;
        }
        place_digits(kernels, high_units, form.units, r, rows * digits, packed);
        if (digits == 2)
          place_digits(kernels, low_units, form.units, rows + r, rows * digits, packed);
        float* scales = out.scale.data() + first * digits;
        scales[r] = digits == 2 ? 128.0f * scale : scale;
        if (digits == 2) scales[rows + r] = scale;
        // Centring rounds once per dimension; the kept dimensions' float32 sum once per term.
        const double rounding =
            kRounding * std::sqrt(all) +
            (static_cast<double>(keep) * kRounding + kEstimateRoundings) * std::sqrt(outliers);
        out.by_norm[t] = raised(std::sqrt(error) + rounding);
        out.by_error[t] = raised(std::sqrt(size));
        if (!std::isfinite(all))
          out.by_norm[t] = out.by_error[t] = std::numeric_limits<float>::quiet_NaN();
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
