#include "cpu/screen_form.h"

#include <algorithm>
#include <cmath>

#include "core/thread_pool.h"
#include "cpu/kernels/storage.h"
#include "cpu/sae_plan.h"
#include "cpu/screen_bound.h"

namespace monosem::cpu {
namespace {

constexpr float kWeightDigits = 127.0f;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

float largest_of(const float* values, int64_t count) {
  float parts[16] = {};  // as vectors
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int64_t part = 0; part < 16; ++part) {
      const float size = std::fabs(values[i + part]);
      parts[part] = parts[part] < size ? size : parts[part];
    }
  for (; i < count; ++i) parts[0] = std::max(parts[0], std::fabs(values[i]));
  return *std::max_element(parts, parts + 16);
}

/// Digits of one feature, and what quantising them cost. rounded: [d_in] to work in.
void quantise_feature(const float* w, int64_t d_in, int8_t* digits, float* rounded,
                      ScreenForm& form, int64_t f) {
  const float largest = largest_of(w, d_in), inverse = kWeightDigits / largest;
  const double norm = sum_of(d_in, [&](int64_t i) { return static_cast<double>(w[i]) * w[i]; });
  // Weights that are not finite, or too small to scale, keep digits of 0: then all of the weight is
  // error, or NaN, and the feature is always a candidate.
  const bool usable = std::isfinite(norm) && largest / kWeightDigits >= kLeastWeightScale;
  const float scale = usable ? largest / kWeightDigits : 0.0f;
  int32_t sum = 0;
  if (usable) {
    // Rounds to a whole number, as a vector: float32 has no fraction from 2^23 on.
    constexpr float kWhole = 0x1.8p23f;
    for (int64_t i = 0; i < d_in; ++i) rounded[i] = (w[i] * inverse + kWhole) - kWhole;
    for (int64_t i = 0; i < d_in; ++i) {
      const int32_t digit = static_cast<int32_t>(rounded[i]);
      digits[i] = static_cast<int8_t>(digit);
      sum += digit;
    }
  } else {
    std::fill_n(rounded, d_in, 0.0f);
    std::fill_n(digits, d_in, int8_t{0});
  }
  const double error = std::sqrt(sum_of(d_in, [&](int64_t i) {
    const double off = w[i] - static_cast<double>(scale) * rounded[i];
    return off * off;
  }));
  form.scale[f] = scale;
  form.sum[f] = sum;
  form.norm[f] = raised(std::sqrt(norm));
  // |w^| <= |w| + |w - w^|.
  form.error[f] = raised(error + kEstimateRoundings * (std::sqrt(norm) + error));
}

int64_t padded_units(const monosem_sae_encoder& e) {
  return divide_up(divide_up(e.d_in, 4), kUnitPadding) * kUnitPadding;
}

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
  const int64_t per_feature = 4 * padded_units(e) + 6 * 4 + 4 * kept_dimensions(e, kernels);
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
    std::vector<float> row(e.d_in), rounded(e.d_in);
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
                         rounded.data(), form, f);
      }
      uint32_t* to = form.panels.get() + panel * form.width * form.units;
      for (int64_t k = 0; k < form.units; ++k)
        for (int64_t lane = 0; lane < form.width; ++lane)
          to[k * form.width + lane] = digits[lane * form.units + k];
    }
  });
}

}  // namespace monosem::cpu
