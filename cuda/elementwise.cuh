#pragma once

// One kernel for every operation that treats elements alone: dst[i] = f(src0[i], src1[i], ...) over
// views of any strides and dtypes.
//
// Traffic: every element of each source once (a broadcast one comes from L1), every element of dst
// once. Neighbouring threads take neighbouring elements of dst's order.

#include <algorithm>

#include "device.cuh"
#include "scalar.cuh"

namespace monosem::cuda {

/// The loop nest of an operation over `kViews` views of one shape; the last dimension is fastest.
template <int kViews>
struct Nest {
  int64_t count = 1;
  int rank = 0;
  int64_t shape[MONOSEM_MAX_RANK];
  int64_t stride[kViews][MONOSEM_MAX_RANK];
  void* data[kViews];
  int dtype[kViews];
};

/// Drops dimensions of one element and joins neighbours that every view steps through evenly: a
/// contiguous operation becomes one loop, without divisions.
template <int kViews>
Nest<kViews> nest_of(const monosem_view* const (&views)[kViews]) {
  Nest<kViews> nest;
  for (int v = 0; v < kViews; ++v) {
    nest.data[v] = views[v]->data;
    nest.dtype[v] = views[v]->dtype;
  }
  for (int d = 0; d < views[0]->rank; ++d) {
    const int64_t size = views[0]->shape[d];
    nest.count *= size;
    if (size == 1) continue;
    bool joins = nest.rank > 0;
    for (int v = 0; v < kViews && joins; ++v) {
      joins = nest.stride[v][nest.rank - 1] == size * views[v]->stride[d];
    }
    if (!joins) nest.shape[nest.rank++] = 1;
    nest.shape[nest.rank - 1] *= size;
    for (int v = 0; v < kViews; ++v) nest.stride[v][nest.rank - 1] = views[v]->stride[d];
  }
  return nest;
}

/// Where element `at` of the nest lies in each view.
template <class Index, int kViews>
__device__ __forceinline__ void locate(const Nest<kViews>& nest, Index at,
                                       int64_t (&offset)[kViews]) {
  for (int v = 0; v < kViews; ++v) offset[v] = 0;
  for (int d = nest.rank - 1; d >= 0; --d) {
    Index step = at;
    if (d > 0) {
      const Index size = static_cast<Index>(nest.shape[d]);
      at /= size;
      step -= at * size;
    }
    for (int v = 0; v < kViews; ++v) {
      offset[v] += static_cast<int64_t>(step) * nest.stride[v][d];
    }
  }
}

/// Calls each(offset) for this thread's elements.
template <int kViews, class Each>
__device__ __forceinline__ void for_each(const Nest<kViews>& nest, Each each) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < nest.count;
       i += step) {
    int64_t offset[kViews];
    // A 64-bit division costs a hundred instructions, a 32-bit one ten.
    if (nest.count <= 0xffffffff) {
      locate<uint32_t>(nest, static_cast<uint32_t>(i), offset);
    } else {
      locate<uint64_t>(nest, static_cast<uint64_t>(i), offset);
    }
    each(offset);
  }
}

/// A grid for for_each: enough blocks to fill the device, each thread with a few elements.
template <int kViews>
Shape grid_for(const Device& device, const Nest<kViews>& nest) {
  return {blocks_for(nest.count, 256, int64_t{16} * device.units()), 256};
}

}  // namespace monosem::cuda
