// Traffic: a row is read once from memory (its second reading comes from L1) and written as 2 or 4
// bytes per element. Weights stored [d_in, d_sae] are read along their columns here, at an eighth
// of the bandwidth: once per plan. A block per row.

#include "split.cuh"

#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

// 2^-e for the power of two 2^e that v is split by, `top` being the row's largest magnitude. Kept
// where both powers are normal numbers.
__device__ __forceinline__ float inverse_scale(float top) {
  int exponent = 14 - (static_cast<int>(__float_as_uint(top) >> 23) - 127);
  exponent = exponent > 100 ? 100 : exponent;
  return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23);
}

__global__ void split_rows_kernel(monosem_view matrix, Planes out, int64_t padded) {
  const int64_t row = blockIdx.x, depth = matrix.shape[1];
  const auto at = [&](int64_t i) {
    return load(matrix.data, matrix.dtype, row * matrix.stride[0] + i * matrix.stride[1]);
  };
  float top = 0.0f, squares = 0.0f;
  for (int64_t i = threadIdx.x; i < depth; i += blockDim.x) {
    const float v = at(i);
    if (isfinite(v)) top = fmaxf(top, fabsf(v));
    squares = fmaf(v, v, squares);
  }
  top = block_reduce(top, Largest());
  if (out.norm != nullptr) squares = block_reduce(squares, Sum());
  const float inverse = inverse_scale(top);
  if (threadIdx.x == 0) {
    out.scale[row] = 1.0f / inverse;
    if (out.norm != nullptr) out.norm[row] = sqrtf(squares);
  }
  for (int64_t i = threadIdx.x; i < padded; i += blockDim.x) {
    const float v = i < depth ? at(i) * inverse : 0.0f;
    const uint16_t high = float_to_half(v);
    out.high[row * padded + i] = high;
    if (out.low == nullptr) continue;
    // Infinities and NaN are high's alone.
    const float rest = isfinite(v) ? (v - half_to_float(high)) * kLowScale : 0.0f;
    out.low[row * padded + i] = float_to_half(rest);
  }
}

}  // namespace

void split_rows(Device& device, const monosem_view& matrix, const Planes& out) {
  launch(device.stream(), {blocks_for(matrix.shape[0], 1), 128}, split_rows_kernel, matrix, out,
         padded_depth(matrix.shape[1]));
}

}  // namespace monosem::cuda
