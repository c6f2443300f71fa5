#pragma once

// The unary operations on one value, for unary.cu and for epilogues.

#include <cuda_runtime.h>

#include <cmath>

#include "core/backend.h"

namespace monosem::cuda {

__device__ __forceinline__ float activate(int op, float x, float parameter) {
  switch (op) {
    case MONOSEM_NEG:
      return -x;
    case MONOSEM_ABS:
      return fabsf(x);
    case MONOSEM_SQRT:
      return sqrtf(x);
    case MONOSEM_EXP:
      return expf(x);
    case MONOSEM_LOG:
      return logf(x);
    case MONOSEM_RELU:
      return x <= 0.0f ? 0.0f : x;  // NaN stays
    case MONOSEM_POW:
      return powf(x, parameter);
    case MONOSEM_GELU:
      return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case MONOSEM_GELU_TANH:
      // sqrt(2 / pi) (x + 0.044715 x^3), Hendrycks and Gimpel 2016
      return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case MONOSEM_SILU:
      return x / (1.0f + expf(-x));
    case MONOSEM_TANH:
      return tanhf(x);
    case MONOSEM_SOFTCAP:
      return parameter * tanhf(x / parameter);
    default:
      return x;
  }
}

}  // namespace monosem::cuda
