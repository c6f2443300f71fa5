// norm: LayerNorm and RMSNorm over the rows of [rows, d], with the scale and the normalized row for
// whoever looks.
// Traffic: x read once from memory (its later readings come from L1), each output written once. A
// block per row.

#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

__global__ void norm_kernel(monosem_norm n) {
  const int64_t d = n.x.shape[1], row = blockIdx.x;
  const auto at = [&](int64_t i) {
    return load(n.x.data, n.x.dtype, row * n.x.stride[0] + i * n.x.stride[1]);
  };
  float mean = 0.0f;
  if (n.kind == MONOSEM_LAYER_NORM) {
    for (int64_t i = threadIdx.x; i < d; i += blockDim.x) mean += at(i);
    mean = block_reduce(mean, Sum()) / static_cast<float>(d);
  }
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
    const float centred = at(i) - mean;
    squares = fmaf(centred, centred, squares);
  }
  squares = block_reduce(squares, Sum());
  const float scale = sqrtf(squares / static_cast<float>(d) + n.eps);
  if (n.scale.data != nullptr && threadIdx.x == 0) {
    store(n.scale.data, n.scale.dtype, row * n.scale.stride[0], scale);
  }
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
    const float normalized = (at(i) - mean) / scale;
    if (n.normalized.data != nullptr) {
      store(n.normalized.data, n.normalized.dtype,
            row * n.normalized.stride[0] + i * n.normalized.stride[1], normalized);
    }
    if (n.out.data == nullptr) continue;
    float value = normalized;
    if (n.weight.data != nullptr) {
      value *= load(n.weight.data, n.weight.dtype, i * n.weight.stride[0]) + n.weight_offset;
    }
    if (n.bias.data != nullptr) value += load(n.bias.data, n.bias.dtype, i * n.bias.stride[0]);
    store(n.out.data, n.out.dtype, row * n.out.stride[0] + i * n.out.stride[1], value);
  }
}

}  // namespace

void norm(Device& device, const monosem_norm* n) {
  launch(device.stream(), {blocks_for(n->x.shape[0], 1), 256}, norm_kernel, *n);
}

}  // namespace monosem::cuda
