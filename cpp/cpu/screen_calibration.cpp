// What the screen learns from the first tokens it sees: a centre, and the dimensions that would
// dominate its bound.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/thread_pool.h"
#include "cpu/screen_bound.h"
#include "cpu/screen_form.h"

namespace monosem::cpu {
namespace {

// Tokens from which a calibration is final.
constexpr int64_t kCalibrationTokens = 32;
// A dimension is kept for so many times the mean energy of those that are not: its own size then
// begins to set the scale of a token's digits.
constexpr double kOutstanding = 4;

/// The largest float32 below the limit by more than evaluating a bound against it can round.
float lowered(double limit) {
  if (!std::isfinite(limit)) return static_cast<float>(limit);
  return static_cast<float>(limit - 8 * 0x1p-23 * std::fabs(limit) - 0x1p-140);
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
  const int64_t most = kept_dimensions(e, *form.kernels);
  form.kept.resize(e.d_in);
  std::iota(form.kept.begin(), form.kept.end(), 0);
  std::partial_sort(
      form.kept.begin(), form.kept.begin() + most, form.kept.end(),
      [&](int64_t a, int64_t b) { return energy[a] != energy[b] ? energy[a] > energy[b] : a < b; });
  // What is not far above the rest costs more as float32 than it takes from the bound.
  double rest = std::accumulate(energy.begin(), energy.end(), 0.0);
  int64_t keep = 0;
  for (; keep < most; ++keep) {
    const double next = energy[form.kept[keep]], others = static_cast<double>(e.d_in - keep - 1);
    rest -= next;
    if (!(next * others > kOutstanding * rest)) break;
  }
  form.kept.resize(keep);
  std::sort(form.kept.begin(), form.kept.end());
  form.calibrated_tokens = tokens;
}

}  // namespace

void calibrate_screen(const monosem_sae_encoder& e, const float* x, int64_t tokens,
                      ScreenForm& form) {
  const bool chosen = form.calibrated_tokens >= std::min(tokens, kCalibrationTokens);
  if (chosen && form.kept_panels.get() != nullptr) return;
  if (!chosen) choose_calibration(e, x, tokens, form);

  const int64_t keep = static_cast<int64_t>(form.kept.size());
  const int64_t panels = (e.d_sae + form.width - 1) / form.width;
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

}  // namespace monosem::cpu
