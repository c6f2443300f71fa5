// softmax over the last dimension of [rows, n], or its logarithm.
// Traffic: src read once from memory (the two later readings of the row come from L1 or L2), dst
// written once. A block per row.

#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

__global__ void softmax_kernel(View dst, View src, int logarithm) {
  const int64_t n = src.shape[1], row = blockIdx.x;
  const auto at = [&](int64_t i) {
    return load(src.data, src.dtype, row * src.stride[0] + i * src.stride[1]);
  };
  float top = -INFINITY;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) top = fmaxf(top, at(i));
  top = block_reduce(top, Largest());
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += expf(at(i) - top);
  sum = block_reduce(sum, Sum());
  const float shift = top + logf(sum);
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    store(dst.data, dst.dtype, row * dst.stride[0] + i * dst.stride[1],
          logarithm ? at(i) - shift : expf(at(i) - top) / sum);
  }
}

}  // namespace

void softmax(Device& device, const View* dst, const View* src, int32_t logarithm) {
  launch(device.stream(), {blocks_for(src->shape[0], 1), 256}, softmax_kernel, *dst, *src,
         logarithm);
}

}  // namespace monosem::cuda
