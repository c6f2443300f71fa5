// gather_rows: dst[i, :] = src[rows[i], :]; gather: dst[i, j] = src[i, columns[i, j]];
// scatter_add: dst[i, columns[i, j]] += src[i, j].
// Traffic: the elements named, once read and once written, and 4 B per index.

#include "operators.cuh"
#include "scalar.cuh"

namespace monosem::cuda {

namespace {

__device__ __forceinline__ int64_t index_at(const View& view, int64_t i, int64_t j) {
  const int64_t at = i * view.stride[0] + (view.rank > 1 ? j * view.stride[1] : 0);
  return static_cast<const int32_t*>(view.data)[at];
}

// A row per block in all three: the columns of one row differ, so nothing is added twice.
__global__ void gather_rows_kernel(View dst, View src, View rows) {
  const int64_t i = blockIdx.x, row = index_at(rows, i, 0);
  const bool inside = row >= 0 && row < src.shape[0];
  for (int64_t j = threadIdx.x; j < dst.shape[1]; j += blockDim.x) {
    const float value =
        inside ? load(src.data, src.dtype, row * src.stride[0] + j * src.stride[1]) : NAN;
    store(dst.data, dst.dtype, i * dst.stride[0] + j * dst.stride[1], value);
  }
}

__global__ void gather_kernel(View dst, View src, View columns) {
  const int64_t i = blockIdx.x;
  for (int64_t j = threadIdx.x; j < dst.shape[1]; j += blockDim.x) {
    const int64_t column = index_at(columns, i, j);
    const bool inside = column >= 0 && column < src.shape[1];
    const float value =
        inside ? load(src.data, src.dtype, i * src.stride[0] + column * src.stride[1]) : NAN;
    store(dst.data, dst.dtype, i * dst.stride[0] + j * dst.stride[1], value);
  }
}

__global__ void scatter_add_kernel(View dst, View src, View columns) {
  const int64_t i = blockIdx.x;
  for (int64_t j = threadIdx.x; j < src.shape[1]; j += blockDim.x) {
    const int64_t column = index_at(columns, i, j);
    if (column < 0 || column >= dst.shape[1]) continue;
    const int64_t at = i * dst.stride[0] + column * dst.stride[1];
    const float value = load(src.data, src.dtype, i * src.stride[0] + j * src.stride[1]);
    store(dst.data, dst.dtype, at, load(dst.data, dst.dtype, at) + value);
  }
}

}  // namespace

void gather_rows(Device& device, const View* dst, const View* src, const View* rows) {
  launch(device.stream(), {blocks_for(dst->shape[0], 1), 256}, gather_rows_kernel, *dst, *src,
         *rows);
}

void gather(Device& device, const View* dst, const View* src, const View* columns) {
  launch(device.stream(), {blocks_for(dst->shape[0], 1), 256}, gather_kernel, *dst, *src, *columns);
}

void scatter_add(Device& device, const View* dst, const View* src, const View* columns) {
  launch(device.stream(), {blocks_for(src->shape[0], 1), 256}, scatter_add_kernel, *dst, *src,
         *columns);
}

}  // namespace monosem::cuda
