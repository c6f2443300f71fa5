// What an SAE does to its input before the encoder: cast, normalise, subtract b_dec. SAELens 6.44,
// `process_sae_in`. Reads every element of x once from memory and writes one float32.

#include <cmath>
#include <cstdint>

#include "cpu/row_kernels.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

/// One row in place, with what undoes it in `stats`.
void normalize_row(int32_t mode, float factor, float* x, int64_t d, float* stats) {
  const RowKernels& kernels = row_kernels();
  switch (mode) {
    case MONOSEM_NORMALIZE_CONSTANT_NORM: {
      // No epsilon: a zero row becomes NaN, as upstream.
      const double norm = std::sqrt(kernels.sum_squares(x, d, 0.0f));
      stats[0] = static_cast<float>(std::sqrt(static_cast<double>(d)) / norm);
      stats[1] = 0.0f;
      return kernels.standardize(x, x, d, 0.0f, stats[0]);
    }
    case MONOSEM_NORMALIZE_LAYER_NORM: {
      const float mean = static_cast<float>(kernels.sum(x, d) / static_cast<double>(d));
      const double variance = kernels.sum_squares(x, d, mean) / static_cast<double>(d - 1);
      stats[0] = static_cast<float>(std::sqrt(variance));
      stats[1] = mean;
      return kernels.standardize(x, x, d, mean,
                                 static_cast<float>(1.0 / (double{stats[0]} + 1e-5)));
    }
    case MONOSEM_NORMALIZE_SCALAR:
      return kernels.standardize(x, x, d, 0.0f, factor);
    default:
      return;
  }
}

}  // namespace

void sae_input(const View& x, int32_t normalize, float factor, const float* b_dec, float* out,
               float* stats) {
  const int64_t d = x.shape[1];
  parallel(x.shape[0], 2 * d, [&](int64_t begin, int64_t end) {
    float unasked[2];
    for (int64_t token = begin; token < end; ++token) {
      float* result = out + token * d;
      load(row(x, token), d, result);
      normalize_row(normalize, factor, result, d, stats ? stats + 2 * token : unasked);
      if (b_dec) row_kernels().binary(MONOSEM_SUB, result, b_dec, result, d);
    }
  });
}

}  // namespace monosem::cpu
