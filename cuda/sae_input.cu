// sae_input: the SAE's input from the residual stream: normalised, minus b_dec, float32.
// Traffic: x read once from memory (a row's later readings come from L1), out written once, 8 B of
// statistics a token. A block per token.

#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

struct Input {
  View x;
  int normalize;
  float factor;
  const float* b_dec;
  float* out;
  float* stats;
};

__global__ void sae_input_kernel(Input in) {
  const int64_t d = in.x.shape[1], token = blockIdx.x;
  const auto at = [&](int64_t i) {
    return load(in.x.data, in.x.dtype, token * in.x.stride[0] + i * in.x.stride[1]);
  };
  float mean = 0.0f, scale = 1.0f, stat = 0.0f;
  if (in.normalize == MONOSEM_NORMALIZE_LAYER_NORM) {
    for (int64_t i = threadIdx.x; i < d; i += blockDim.x) mean += at(i);
    mean = block_reduce(mean, Sum()) / static_cast<float>(d);
  }
  if (in.normalize == MONOSEM_NORMALIZE_LAYER_NORM ||
      in.normalize == MONOSEM_NORMALIZE_CONSTANT_NORM) {
    float squares = 0.0f;
    for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
      const float centred = at(i) - mean;
      squares = fmaf(centred, centred, squares);
    }
    squares = block_reduce(squares, Sum());
    if (in.normalize == MONOSEM_NORMALIZE_LAYER_NORM) {
      stat = sqrtf(squares / static_cast<float>(d - 1));  // unbiased; NaN for d = 1, as upstream
      scale = stat + 1e-5f;
    } else {
      stat = sqrtf(static_cast<float>(d)) / sqrtf(squares);
      scale = stat;
    }
    if (threadIdx.x == 0) {
      in.stats[2 * token] = stat;
      in.stats[2 * token + 1] = mean;
    }
  }
  for (int64_t i = threadIdx.x; i < d; i += blockDim.x) {
    float value = at(i);
    if (in.normalize == MONOSEM_NORMALIZE_LAYER_NORM) value = (value - mean) / scale;
    if (in.normalize == MONOSEM_NORMALIZE_CONSTANT_NORM) value *= scale;
    if (in.normalize == MONOSEM_NORMALIZE_SCALAR) value *= in.factor;
    in.out[token * d + i] = in.b_dec != nullptr ? value - in.b_dec[i] : value;
  }
}

}  // namespace

void sae_input(Device& device, const View* x, int32_t normalize, float factor, const float* b_dec,
               float* out, float* stats) {
  const Input in{*x, normalize, factor, b_dec, out, stats};
  launch(device.stream(), {blocks_for(x->shape[0], 1), 256}, sae_input_kernel, in);
}

}  // namespace monosem::cuda
