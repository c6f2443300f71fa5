// randn: normally distributed numbers, element i a function of (seed, i) alone.
// Traffic: dst written once.

#include "elementwise.cuh"
#include "operators.cuh"

namespace monosem::cuda {

namespace {

// SplitMix64's output function (Steele, Lea and Flood 2014) of the i-th state.
__device__ __forceinline__ uint64_t mix(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Box and Muller's cosine half, from 24 and 24 bits; the radius' argument is never 0.
__device__ __forceinline__ float normal(uint64_t seed, uint64_t i) {
  const uint64_t bits = mix(seed, i);
  const float u = static_cast<float>((bits >> 40) + 1) * 0x1p-24f;
  const float v = static_cast<float>(bits & 0xffffff) * 0x1p-24f;
  return sqrtf(-2.0f * logf(u)) * cospif(2.0f * v);
}

// `dense` is a view of the shape with contiguous strides: its offset is the element's number,
// however dst is laid out.
__global__ void randn_kernel(Nest<2> nest, uint64_t seed) {
  for_each(nest, [&](const int64_t(&at)[2]) {
    store(nest.data[0], nest.dtype[0], at[0], normal(seed, static_cast<uint64_t>(at[1])));
  });
}

}  // namespace

void randn(Device& device, const View* dst, uint64_t seed) {
  View dense = *dst;
  int64_t stride = 1;
  for (int d = dst->rank - 1; d >= 0; --d) {
    dense.stride[d] = stride;
    stride *= dst->shape[d];
  }
  const Nest<2> nest = nest_of<2>({dst, &dense});
  launch(device.stream(), grid_for(device, nest), randn_kernel, nest, seed);
}

}  // namespace monosem::cuda
