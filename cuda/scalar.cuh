#pragma once

// Single values: the 16-bit formats as bits, and reading and writing by a dtype known at run time.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/backend.h"

#ifdef MONOSEM_EMULATED
#include "core/half.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace monosem::cuda {

#ifdef MONOSEM_EMULATED

inline float half_to_float(uint16_t bits) { return from_float16(bits); }
inline uint16_t float_to_half(float value) { return to_float16(value); }
inline float bfloat_to_float(uint16_t bits) { return from_bfloat16(bits); }
inline uint16_t float_to_bfloat(float value) { return to_bfloat16(value); }

#else

__device__ __forceinline__ float half_to_float(uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}
__device__ __forceinline__ uint16_t float_to_half(float value) {
  return __half_as_ushort(__float2half_rn(value));
}
__device__ __forceinline__ float bfloat_to_float(uint16_t bits) {
  return __uint_as_float(static_cast<unsigned>(bits) << 16);
}
__device__ __forceinline__ uint16_t float_to_bfloat(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

#endif

__device__ __forceinline__ float load(const void* data, int dtype, int64_t at) {
  switch (dtype) {
    case MONOSEM_FLOAT16:
      return half_to_float(static_cast<const uint16_t*>(data)[at]);
    case MONOSEM_BFLOAT16:
      return bfloat_to_float(static_cast<const uint16_t*>(data)[at]);
    case MONOSEM_INT32:
      return static_cast<float>(static_cast<const int32_t*>(data)[at]);
    default:
      return static_cast<const float*>(data)[at];
  }
}

__device__ __forceinline__ void store(void* data, int dtype, int64_t at, float value) {
  switch (dtype) {
    case MONOSEM_FLOAT16:
      static_cast<uint16_t*>(data)[at] = float_to_half(value);
      break;
    case MONOSEM_BFLOAT16:
      static_cast<uint16_t*>(data)[at] = float_to_bfloat(value);
      break;
    case MONOSEM_INT32:
      static_cast<int32_t*>(data)[at] = static_cast<int32_t>(value);
      break;
    default:
      static_cast<float*>(data)[at] = value;
  }
}

inline size_t element_size(int dtype) {
  return dtype == MONOSEM_FLOAT32 || dtype == MONOSEM_INT32 ? 4 : 2;
}

}  // namespace monosem::cuda
