#pragma once

// Sums and prefixes over a warp and a block. The order of a sum depends on the block's size alone.

#include <cuda_runtime.h>

#include <cstdint>

#include "shared.cuh"

namespace monosem::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Largest {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// op over the 32 lanes; every lane has the result.
template <class T, class Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
  for (int bits = 16; bits > 0; bits /= 2)
    value = op(value, __shfl_xor_sync(kAllLanes, value, bits));
  return value;
}

/// The sum of the lanes below this one.
__device__ __forceinline__ uint32_t warp_prefix(uint32_t value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  uint32_t sum = value;
  for (int delta = 1; delta < 32; delta *= 2) {
    const uint32_t below = __shfl_up_sync(kAllLanes, sum, delta);
    if (lane >= delta) sum += below;
  }
  return sum - value;
}

template <class T>
struct OnePerWarp {
  T value[32];
};

/// op over the block; every thread has the result. All threads call it.
template <class T, class Op>
__device__ __forceinline__ T block_reduce(T value, Op op) {
  auto& shared = shared_memory<OnePerWarp<T>>();
  value = warp_reduce(value, op);
  if (threadIdx.x % 32 == 0) shared.value[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared.value[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) value = op(value, shared.value[warp]);
  __syncthreads();  // the next call writes there
  return value;
}

/// The sum of the threads below this one; `total` is that of all. All threads call it.
__device__ __forceinline__ uint32_t block_prefix(uint32_t value, uint32_t& total) {
  auto& shared = shared_memory<OnePerWarp<uint32_t>>();
  uint32_t below = warp_prefix(value);
  if (threadIdx.x % 32 == 31) shared.value[threadIdx.x / 32] = below + value;
  __syncthreads();
  total = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
    if (warp == threadIdx.x / 32) below += total;
    total += shared.value[warp];
  }
  __syncthreads();
  return below;
}

}  // namespace monosem::cuda
