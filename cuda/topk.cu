// topk over the last dimension of [rows, n]: the k largest, descending, ties by index.
// Traffic: src read two to six times (the row stays in L2) by a radix select, 8 B k log^2 k of L1
// and L2 to sort what it found. A block per row.

#include "operators.cuh"
#include "order.cuh"
#include "scalar.cuh"

namespace monosem::cuda {

namespace {

struct Found {
  uint32_t count;
};

// `keys` [rows, size], size the power of two that holds k.
__global__ void topk_kernel(View values, View indices, View src, uint32_t k, uint64_t* keys,
                            uint32_t size) {
  const int64_t row = blockIdx.x;
  const uint32_t n = static_cast<uint32_t>(src.shape[1]);
  const auto value_at = [&](uint32_t i) {
    return load(src.data, src.dtype, row * src.stride[0] + i * src.stride[1]);
  };
  const auto key_at = [&](uint32_t i) { return order_key(value_at(i), i); };
  const uint64_t least = kth_largest(n, k, key_at);

  auto& found = shared_memory<Found>();
  if (threadIdx.x == 0) found.count = 0;
  __syncthreads();
  uint64_t* mine = keys + row * size;
  for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
    const uint64_t key = key_at(i);
    if (key >= least) mine[atomicAdd(&found.count, 1u)] = key;
  }
  for (uint32_t i = k + threadIdx.x; i < size; i += blockDim.x) mine[i] = 0;
  __syncthreads();

  // Batcher's bitonic sort, descending.
  for (uint32_t run = 2; run <= size; run *= 2) {
    for (uint32_t apart = run / 2; apart > 0; apart /= 2) {
      for (uint32_t i = threadIdx.x; i < size / 2; i += blockDim.x) {
        const uint32_t low = 2 * i - (i & (apart - 1)), high = low + apart;
        const uint64_t a = mine[low], b = mine[high];
        const bool descending = (low & run) == 0;
        if ((a < b) == descending) {
          mine[low] = b;
          mine[high] = a;
        }
      }
      __syncthreads();
    }
  }

  for (uint32_t i = threadIdx.x; i < k; i += blockDim.x) {
    const uint32_t index = key_index(mine[i]);
    store(values.data, values.dtype, row * values.stride[0] + i * values.stride[1],
          value_at(index));
    static_cast<int32_t*>(indices.data)[row * indices.stride[0] + i * indices.stride[1]] =
        static_cast<int32_t>(index);
  }
}

}  // namespace

void topk(Device& device, const View* values, const View* indices, const View* src, int64_t k) {
  const int64_t rows = src->shape[0];
  if (rows == 0 || k == 0) return;
  uint32_t size = 1;
  while (size < k) size *= 2;
  const Scratch<uint64_t> keys(device, rows * size);
  launch(device.stream(), {blocks_for(rows, 1), 256}, topk_kernel, *values, *indices, *src,
         static_cast<uint32_t>(k), keys.get(), size);
}

}  // namespace monosem::cuda
