// rope: rotates the pairs (i, i + half) of every head by the position's angles; the rest passes
// through. Traffic: x read once, out written once; the angle tables stay in L2. A block per head.

#include "operators.cuh"
#include "scalar.cuh"

namespace monosem::cuda {

namespace {

__device__ __forceinline__ int64_t offset(const View& view, int64_t b, int64_t p, int64_t n) {
  return b * view.stride[0] + p * view.stride[1] + n * view.stride[2];
}

__global__ void rope_kernel(monosem_rope r) {
  const int64_t heads = r.x.shape[2], d_head = r.x.shape[3], half = r.cos.shape[1];
  const int64_t head = blockIdx.x % heads;
  const int64_t p = blockIdx.x / heads % r.x.shape[1], b = blockIdx.x / heads / r.x.shape[1];
  const int64_t position = static_cast<const int32_t*>(
      r.positions.data)[b * r.positions.stride[0] + p * r.positions.stride[1]];
  const int64_t from = offset(r.x, b, p, head), to = offset(r.out, b, p, head);
  const auto read = [&](int64_t i) { return load(r.x.data, r.x.dtype, from + i * r.x.stride[3]); };
  const auto write = [&](int64_t i, float value) {
    store(r.out.data, r.out.dtype, to + i * r.out.stride[3], value);
  };
  // Both members of a pair are one thread's, so that out may be x.
  for (int64_t i = threadIdx.x; i < half; i += blockDim.x) {
    const float c = load(r.cos.data, r.cos.dtype, position * r.cos.stride[0] + i * r.cos.stride[1]);
    const float s = load(r.sin.data, r.sin.dtype, position * r.sin.stride[0] + i * r.sin.stride[1]);
    const float low = read(i), high = read(i + half);
    write(i, low * c - high * s);
    write(i + half, high * c + low * s);
  }
  for (int64_t i = 2 * half + threadIdx.x; i < d_head; i += blockDim.x) write(i, read(i));
}

}  // namespace

void rope(Device& device, const monosem_rope* r) {
  const int64_t blocks = r->x.shape[0] * r->x.shape[1] * r->x.shape[2];
  launch(device.stream(), {blocks_for(blocks, 1), 64}, rope_kernel, *r);
}

}  // namespace monosem::cuda
