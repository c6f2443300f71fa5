// Between dense and compressed rows, counts, and a selection of rows.
// Traffic: csr_from_dense reads the matrix twice (to count, to write), csr_to_dense writes it once
// and each entry again, csr_rows copies its rows: 8 B an entry each way. A block per row.

#include "compact.cuh"
#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) count_dense_kernel(View dense, uint32_t* counts) {
  const int64_t row = blockIdx.x;
  uint32_t count = 0;
  for (int64_t f = threadIdx.x; f < dense.shape[1]; f += kThreads) {
    count += load(dense.data, dense.dtype, row * dense.stride[0] + f * dense.stride[1]) != 0.0f;
  }
  count = block_reduce(count, Sum());
  if (threadIdx.x == 0) counts[row] = count;
}

__global__ void __launch_bounds__(kThreads) from_dense_kernel(View dense, monosem_csr csr) {
  const int64_t row = blockIdx.x;
  uint32_t written = csr.row_offsets[row];
  for (int64_t f0 = 0; f0 < dense.shape[1]; f0 += kThreads) {
    const int64_t f = f0 + threadIdx.x;
    const float value = f < dense.shape[1] ? load(dense.data, dense.dtype,
                                                  row * dense.stride[0] + f * dense.stride[1])
                                           : 0.0f;
    uint32_t total = 0;
    const uint32_t at = written + block_prefix(value != 0.0f ? 1u : 0u, total);
    if (value != 0.0f) {
      csr.indices[at] = static_cast<uint32_t>(f);
      csr.values[at] = value;
    }
    written += total;
  }
}

__global__ void __launch_bounds__(kThreads) to_dense_kernel(monosem_csr csr, View dense) {
  const int64_t row = blockIdx.x, start = row * dense.stride[0];
  for (int64_t f = threadIdx.x; f < csr.d_sae; f += kThreads) {
    store(dense.data, dense.dtype, start + f * dense.stride[1], 0.0f);
  }
  __syncthreads();
  for (uint32_t i = csr.row_offsets[row] + threadIdx.x; i < csr.row_offsets[row + 1];
       i += kThreads) {
    store(dense.data, dense.dtype, start + csr.indices[i] * dense.stride[1], csr.values[i]);
  }
}

__global__ void __launch_bounds__(kThreads) count_kernel(monosem_csr csr, float* out) {
  const int64_t row = blockIdx.x;
  uint32_t count = 0;
  for (uint32_t i = csr.row_offsets[row] + threadIdx.x; i < csr.row_offsets[row + 1];
       i += kThreads) {
    count += csr.values[i] != 0.0f;
  }
  count = block_reduce(count, Sum());
  if (threadIdx.x == 0) out[row] = static_cast<float>(count);
}

__global__ void __launch_bounds__(kThreads)
    row_lengths_kernel(monosem_csr csr, const int64_t* rows, int64_t n, uint32_t* lengths) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) lengths[i] = csr.row_offsets[rows[i] + 1] - csr.row_offsets[rows[i]];
}

__global__ void __launch_bounds__(kThreads)
    copy_rows_kernel(monosem_csr csr, const int64_t* rows, monosem_csr out) {
  const uint32_t from = csr.row_offsets[rows[blockIdx.x]], to = out.row_offsets[blockIdx.x];
  const uint32_t length = out.row_offsets[blockIdx.x + 1] - to;
  for (uint32_t i = threadIdx.x; i < length; i += kThreads) {
    out.indices[to + i] = csr.indices[from + i];
    out.values[to + i] = csr.values[from + i];
  }
}

}  // namespace

void csr_from_dense(Device& device, const View* dense, monosem_csr* out) {
  const int64_t rows = dense->shape[0];
  const Scratch<uint32_t> counts(device, rows);
  Scratch<uint32_t> offsets(device, rows + 1);
  launch(device.stream(), {blocks_for(rows, 1), kThreads}, count_dense_kernel, *dense,
         counts.get());
  const Totals totals = add_up(device, counts.get(), rows, 0, kNoLimit, offsets.get(), nullptr);
  allocate_csr(device, rows, dense->shape[1], totals, offsets, out);
  launch(device.stream(), {blocks_for(rows, 1), kThreads}, from_dense_kernel, *dense, *out);
}

void csr_to_dense(Device& device, const monosem_csr* csr, const View* dense) {
  launch(device.stream(), {blocks_for(csr->tokens, 1), kThreads}, to_dense_kernel, *csr, *dense);
}

void csr_count(Device& device, const monosem_csr* csr, float* out) {
  launch(device.stream(), {blocks_for(csr->tokens, 1), kThreads}, count_kernel, *csr, out);
}

void csr_rows(Device& device, const monosem_csr* csr, const int64_t* rows, int64_t count,
              monosem_csr* out) {
  const Scratch<int64_t> chosen(device, count);
  const Scratch<uint32_t> lengths(device, count);
  Scratch<uint32_t> offsets(device, count + 1);
  device.upload(chosen.get(), rows, sizeof(int64_t) * count);
  launch(device.stream(), {blocks_for(count, kThreads), kThreads}, row_lengths_kernel, *csr,
         chosen.get(), count, lengths.get());
  const Totals totals = add_up(device, lengths.get(), count, 0, kNoLimit, offsets.get(), nullptr);
  allocate_csr(device, count, csr->d_sae, totals, offsets, out);
  launch(device.stream(), {blocks_for(count, 1), kThreads}, copy_rows_kernel, *csr, chosen.get(),
         *out);
}

}  // namespace monosem::cuda
