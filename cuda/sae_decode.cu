// sae_decode: out = denormalise(sum_f value w_dec[f, :] + b_dec), and the error x - out in the same
// pass. Rows are added in ascending order of features, each column by one thread.
//
// Traffic: L0 rows of w_dec per token, 16 B a lane; out (and recons, x, error where asked for)
// once. A warp owns one token's slice of 32 lanes x 16 B. Slices are the slow dimension of the
// grid: for a large batch the blocks in flight share one slice of w_dec (d_sae x 512 B: 8 MB at
// 16k), so that it is read from memory once and then from L2. A small batch has too few such warps
// to fill the device; there a lane owns one column. That form also serves rows that are not 16-byte
// aligned.

#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

constexpr int kWarps = 4, kFlying = 8;

template <class T>
struct Element;
template <>
struct Element<float> {
  static __device__ __forceinline__ float to_float(float value) { return value; }
};
struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};
template <>
struct Element<Half> {
  static __device__ __forceinline__ float to_float(Half value) { return half_to_float(value.bits); }
};
template <>
struct Element<Bfloat> {
  static __device__ __forceinline__ float to_float(Bfloat value) {
    return bfloat_to_float(value.bits);
  }
};

template <class T, int kColumns>
struct alignas(sizeof(T) * kColumns) Pack {
  T value[kColumns];
};

__device__ __forceinline__ float denormalise(const monosem_decode& d, int64_t token, float value) {
  switch (d.normalize) {
    case MONOSEM_NORMALIZE_CONSTANT_NORM:
      return value / d.stats[2 * token];
    case MONOSEM_NORMALIZE_LAYER_NORM:
      return value * d.stats[2 * token] + d.stats[2 * token + 1];
    case MONOSEM_NORMALIZE_SCALAR:
      return value / d.factor;
    default:
      return value;
  }
}

template <class T, int kColumns>
__global__ void __launch_bounds__(32 * kWarps) decode_kernel(monosem_decode d, monosem_csr acts) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t token = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (token >= acts.tokens) return;  // the whole warp
  const int64_t d_out = d.w_dec.shape[1];
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * 32 + lane) * kColumns;
  const bool inside = column < d_out;
  const auto* rows = static_cast<const T*>(d.w_dec.data) + column;
  const int64_t stride = d.w_dec.stride[0];

  float sum[kColumns] = {};
  const uint32_t end = acts.row_offsets[token + 1];
  for (uint32_t first = acts.row_offsets[token]; first < end; first += 32) {
    const int count = end - first < 32 ? static_cast<int>(end - first) : 32;
    uint32_t feature = 0;
    float value = 0.0f;
    if (lane < count) {
      feature = acts.indices[first + lane];
      value = acts.values[first + lane];
      if (d.row_scale != nullptr) value *= d.row_scale[feature];
    }
    for (int i0 = 0; i0 < count; i0 += kFlying) {
      Pack<T, kColumns> row[kFlying];
      float weight[kFlying];
#pragma unroll
      for (int i = 0; i < kFlying; ++i) {
        const uint32_t f = __shfl_sync(kAllLanes, feature, i0 + i);
        weight[i] = __shfl_sync(kAllLanes, value, i0 + i);
        if (inside && i0 + i < count) {
          row[i] = *reinterpret_cast<const Pack<T, kColumns>*>(rows + f * stride);
        }
      }
#pragma unroll
      for (int i = 0; i < kFlying; ++i) {
        if (!inside || i0 + i >= count) continue;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          sum[c] = fmaf(weight[i], Element<T>::to_float(row[i].value[c]), sum[c]);
        }
      }
    }
  }
  if (!inside) return;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const int64_t at = token * d_out + column + c;
    if (d.b_dec != nullptr) sum[c] += d.b_dec[column + c];
    if (d.recons != nullptr) d.recons[at] = sum[c];
    const float out = denormalise(d, token, sum[c]);
    d.out[at] = out;
    if (d.error != nullptr) d.error[at] = d.x[at] - out;
  }
}

template <class T>
void decode(Device& device, const monosem_decode& d) {
  constexpr int kWide = 16 / sizeof(T);
  const int64_t tokens = d.acts->tokens, d_out = d.w_dec.shape[1];
  const bool aligned = reinterpret_cast<uintptr_t>(d.w_dec.data) % 16 == 0 &&
                       d.w_dec.stride[0] % kWide == 0 && d_out % kWide == 0;
  const unsigned slices = blocks_for(d_out, 32 * kWide);
  const bool fills = tokens * slices >= int64_t{16} * kWarps * device.units();
  if (aligned && fills) {
    launch(device.stream(), {{blocks_for(tokens, kWarps), slices}, 32 * kWarps},
           decode_kernel<T, kWide>, d, *d.acts);
  } else {
    launch(device.stream(), {{blocks_for(tokens, kWarps), blocks_for(d_out, 32)}, 32 * kWarps},
           decode_kernel<T, 1>, d, *d.acts);
  }
}

}  // namespace

void sae_decode(Device& device, const monosem_decode* d) {
  switch (d->w_dec.dtype) {
    case MONOSEM_FLOAT16:
      return decode<Half>(device, *d);
    case MONOSEM_BFLOAT16:
      return decode<Bfloat>(device, *d);
    default:
      return decode<float>(device, *d);
  }
}

}  // namespace monosem::cuda
