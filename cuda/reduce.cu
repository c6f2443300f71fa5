// reduce: src [outer, n, inner] -> dst [outer, inner].
// Traffic: src read once. A block per output walks along n where n is the fast dimension; a thread
// per output does where `inner` is, so that neighbours read neighbours.

#include "elementwise.cuh"
#include "operators.cuh"
#include "order.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

// A reduction in progress: a sum, or the largest key so far.
struct Progress {
  float sum = 0.0f;
  uint64_t key = 0;
};

__device__ __forceinline__ void take(Progress& p, int op, float value, int64_t at) {
  switch (op) {
    case MONOSEM_MAX:
    case MONOSEM_ARGMAX: {
      const uint64_t key = order_key(value, static_cast<uint32_t>(at));
      if (key > p.key) p.key = key;
      break;
    }
    case MONOSEM_NORM2:
      p.sum = fmaf(value, value, p.sum);
      break;
    default:
      p.sum += value;
  }
}

struct Reduction {
  monosem_view dst, src;
  int op;
};

__device__ __forceinline__ void finish(const Reduction& r, int64_t outer, int64_t inner,
                                       const Progress& p) {
  const int64_t at = outer * r.dst.stride[0] + inner * r.dst.stride[1];
  const uint32_t place = key_index(p.key);
  float value = p.sum;
  switch (r.op) {
    case MONOSEM_ARGMAX:
      static_cast<int32_t*>(r.dst.data)[at] = static_cast<int32_t>(place);
      return;
    case MONOSEM_MAX:
      value = load(r.src.data, r.src.dtype,
                   outer * r.src.stride[0] + place * r.src.stride[1] + inner * r.src.stride[2]);
      break;
    case MONOSEM_MEAN:
      value /= static_cast<float>(r.src.shape[1]);
      break;
    case MONOSEM_NORM2:
      value = sqrtf(value);
      break;
    default:
      break;
  }
  store(r.dst.data, r.dst.dtype, at, value);
}

__global__ void reduce_rows_kernel(Reduction r) {
  const int64_t inner_size = r.src.shape[2];
  const int64_t outer = blockIdx.x / inner_size, inner = blockIdx.x % inner_size;
  const int64_t start = outer * r.src.stride[0] + inner * r.src.stride[2];
  Progress p;
  for (int64_t i = threadIdx.x; i < r.src.shape[1]; i += blockDim.x) {
    take(p, r.op, load(r.src.data, r.src.dtype, start + i * r.src.stride[1]), i);
  }
  // Separately: a shuffle moves one word or two, not a struct.
  p.sum = block_reduce(p.sum, Sum());
  p.key = block_reduce(p.key, Largest());
  if (threadIdx.x == 0) finish(r, outer, inner, p);
}

__global__ void reduce_columns_kernel(Reduction r) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= r.src.shape[0] * r.src.shape[2]) return;
  const int64_t outer = i / r.src.shape[2], inner = i % r.src.shape[2];
  const int64_t start = outer * r.src.stride[0] + inner * r.src.stride[2];
  Progress p;
  for (int64_t n = 0; n < r.src.shape[1]; ++n) {
    take(p, r.op, load(r.src.data, r.src.dtype, start + n * r.src.stride[1]), n);
  }
  finish(r, outer, inner, p);
}

}  // namespace

void reduce(Device& device, int32_t op, const View* dst, const View* src) {
  const Reduction r{*dst, *src, op};
  const int64_t outputs = src->shape[0] * src->shape[2];
  if (src->shape[2] < 32 && src->shape[1] >= 32) {
    launch(device.stream(), {blocks_for(outputs, 1), 256}, reduce_rows_kernel, r);
  } else {
    launch(device.stream(), {blocks_for(outputs, 256), 256}, reduce_columns_kernel, r);
  }
}

}  // namespace monosem::cuda
