#pragma once

// A total order of values, and the selection of the k largest of a list by it.

#include <cuda_runtime.h>

#include <cstdint>

#include "warp.cuh"

namespace monosem::cuda {

/// Larger for larger values, and for lower indices among equal ones; NaN above all, -0 as 0. Keys
/// of one list differ from each other and from 0.
__device__ __forceinline__ uint64_t order_key(float value, uint32_t index) {
  uint32_t bits = __float_as_uint(value + 0.0f);
  if (value != value) bits = 0x7fffffffu;
  bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
  return static_cast<uint64_t>(bits) << 32 | (0xffffffffu - index);
}

__device__ __forceinline__ uint32_t key_index(uint64_t key) {
  return 0xffffffffu - static_cast<uint32_t>(key);
}

struct RadixSelect {
  uint32_t histogram[256];
  uint64_t prefix;
  uint32_t wanted;
  bool done;
};

/// The k-th largest of the keys key_at(0) .. key_at(n - 1), 1 <= k <= n: exactly k of them are not
/// below it. Eight bits per pass over the keys, from the top; it stops as soon as a bucket is taken
/// whole, which with distinct values is after four passes at most. All threads of a block of at
/// least 32 call it; the result is everybody's.
template <class KeyAt>
__device__ uint64_t kth_largest(uint32_t n, uint32_t k, KeyAt key_at) {
  auto& s = shared_memory<RadixSelect>();
  if (threadIdx.x == 0) {
    s.prefix = 0;
    s.wanted = k;
    s.done = false;
  }
  __syncthreads();
  for (int shift = 56;; shift -= 8) {
    for (unsigned i = threadIdx.x; i < 256; i += blockDim.x) s.histogram[i] = 0;
    __syncthreads();
    const uint64_t prefix = s.prefix;
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
      const uint64_t key = key_at(i);
      // The bits above this pass's must be those found so far; a shift by 64 would be undefined.
      if (((key ^ prefix) >> shift) >> 8 == 0) atomicAdd(&s.histogram[key >> shift & 255], 1u);
    }
    __syncthreads();
    if (threadIdx.x < 32) {
      // Lane l owns the eight buckets below 256 - 8 l; the one where the count from the top
      // reaches `wanted` is the next digit.
      const unsigned top = 255 - 8 * threadIdx.x;
      uint32_t mine = 0;
      for (unsigned b = 0; b < 8; ++b) mine += s.histogram[top - b];
      uint32_t above = warp_prefix(mine);
      const uint32_t wanted = s.wanted;
      __syncwarp();
      if (above < wanted && wanted <= above + mine) {
        unsigned bucket = top;
        while (above + s.histogram[bucket] < wanted) above += s.histogram[bucket--];
        s.prefix = prefix | static_cast<uint64_t>(bucket) << shift;
        s.wanted = wanted - above;
        s.done = shift == 0 || s.histogram[bucket] == wanted - above;
      }
    }
    __syncthreads();
    if (s.done) break;
  }
  const uint64_t result = s.prefix;
  __syncthreads();  // the next call writes there
  return result;
}

}  // namespace monosem::cuda
