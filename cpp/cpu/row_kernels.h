#pragma once

// The inner loops of the operators: contiguous float32 rows, one table per instruction set. The
// operators walk views and threads; these see neither. Every table is the same source
// (cpp/cpu/rows/*.inl) compiled over another vector type.

#include <cstdint>

#include "core/backend.h"

namespace monosem::cpu {

struct RowKernels {
  void (*to_float16)(const float* in, uint16_t* out, int64_t n);
  void (*to_bfloat16)(const float* in, uint16_t* out, int64_t n);

  /// out may be x. `op` is a monosem_unary.
  void (*unary)(int32_t op, const float* x, float* out, int64_t n, float parameter);
  /// `op` is a monosem_binary.
  void (*binary)(int32_t op, const float* a, const float* b, float* out, int64_t n);

  /// Sums of x[i] and of (x[i] - center)^2, accumulated in double.
  double (*sum)(const float* x, int64_t n);
  double (*sum_squares)(const float* x, int64_t n, float center);
  /// The largest value, NaN if there is one, -inf if n is 0.
  float (*maximum)(const float* x, int64_t n);
  /// out[i] = exp(x[i] - shift); their sum in double.
  double (*exp_sum)(const float* x, float* out, int64_t n, float shift);
  /// out[i] = (x[i] - center) * factor
  void (*standardize)(const float* x, float* out, int64_t n, float center, float factor);
  /// out[i] = x[i] * weight[i] + bias[i]; null stands for a weight of 1 or a bias of 0.
  void (*affine)(const float* x, const float* weight, const float* bias, float* out, int64_t n);
  /// (a, b) -> (a cos - b sin, b cos + a sin)
  void (*rotate)(const float* a, const float* b, const float* cos, const float* sin, float* out_a,
                 float* out_b, int64_t n);
};

// null where the architecture has no such instructions
const RowKernels* row_kernels_scalar();
const RowKernels* row_kernels_avx2();
const RowKernels* row_kernels_avx512();
const RowKernels* row_kernels_neon();

/// The table of the instruction set in use, as isa.h chooses it.
const RowKernels& row_kernels();

}  // namespace monosem::cpu
