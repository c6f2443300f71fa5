// Traffic of place_by_rank: each list read twice (8 B an entry, from L2 the second time), each
// entry written once. Sorting is counting here: the features of a list are distinct numbers below
// d_sae, so a bitmap's prefix sums are their ranks, for any length of list and without comparing.

#include "compact.cuh"

#include "warp.cuh"

namespace monosem::cuda {

namespace {

constexpr int kScanThreads = 1024;

// One block: there are as many counts as tokens, and a million of them take about a millisecond.
__global__ void __launch_bounds__(kScanThreads)
    add_up_kernel(const uint32_t* counts, int64_t n, uint32_t first, uint32_t limit,
                  uint32_t* offsets, int32_t* above, Totals* totals) {
  uint64_t sum = 0;
  uint32_t largest = 0, listed = 0;
  for (int64_t i0 = 0; i0 < n; i0 += kScanThreads) {
    const int64_t i = i0 + threadIdx.x;
    const uint32_t count = i < n ? counts[i] : 0;
    uint32_t total = 0, over = 0;
    const uint32_t before = block_prefix(count, total);
    const uint32_t place = block_prefix(count > limit ? 1u : 0u, over);
    if (i < n) offsets[i] = first + static_cast<uint32_t>(sum) + before;
    if (count > limit && above != nullptr) above[listed + place] = static_cast<int32_t>(i);
    sum += total;
    listed += over;
    if (count > largest) largest = count;
  }
  largest = block_reduce(largest, Largest());
  if (threadIdx.x != 0) return;
  offsets[n] = first + static_cast<uint32_t>(sum);
  *totals = {sum, largest, listed};
}

constexpr int kThreads = 256, kWords = 4096, kWindow = 32 * kWords;

struct Ranks {
  uint32_t bits[kWords];   // bit f: the list has feature window + f
  uint32_t below[kWords];  // set bits in the words before
};

__global__ void __launch_bounds__(kThreads)
    place_by_rank_kernel(EntryLists lists, uint32_t limit, Rows rows) {
  const int64_t list = blockIdx.x, row = lists.rows ? lists.rows[list] : list;
  const uint32_t n = lists.counts[list];
  if (n > limit) return;
  const uint2* entries =
      lists.entries + list * lists.stride + (lists.starts ? lists.starts[list] : 0);
  auto& s = shared_memory<Ranks>();
  uint32_t placed = rows.row_offsets[row] - rows.first;
  for (int64_t window = 0; window < rows.d_sae; window += kWindow) {
    const int64_t left = (rows.d_sae - window + 31) / 32;
    const int words = left < kWords ? static_cast<int>(left) : kWords;
    for (int w = static_cast<int>(threadIdx.x); w < words; w += kThreads) s.bits[w] = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < n; i += kThreads) {
      const int64_t f = entries[i].x - window;
      if (f >= 0 && f < kWindow) atomicOr(&s.bits[f / 32], 1u << (f % 32));
    }
    __syncthreads();
    uint32_t found = 0;
    for (int w0 = 0; w0 < words; w0 += kThreads) {
      const int w = w0 + static_cast<int>(threadIdx.x);
      uint32_t total = 0;
      const uint32_t before = block_prefix(w < words ? __popc(s.bits[w]) : 0, total);
      if (w < words) s.below[w] = found + before;
      found += total;
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < n; i += kThreads) {
      const uint2 entry = entries[i];
      const int64_t f = entry.x - window;
      if (f < 0 || f >= kWindow) continue;
      const uint32_t lower = s.bits[f / 32] & ((1u << (f % 32)) - 1);
      const uint32_t at = placed + s.below[f / 32] + __popc(lower);
      rows.indices[at] = entry.x;
      rows.values[at] = __uint_as_float(entry.y);
    }
    placed += found;
    __syncthreads();
  }
}

}  // namespace

Totals add_up(Device& device, const uint32_t* counts, int64_t n, uint32_t first, uint32_t limit,
              uint32_t* offsets, int32_t* above) {
  const Scratch<Totals> result(device, 1);
  launch(device.stream(), {1, kScanThreads}, add_up_kernel, counts, n, first, limit, offsets, above,
         result.get());
  Totals totals;
  device.download(&totals, result.get(), sizeof totals);
  return totals;
}

void place_by_rank(Device& device, const EntryLists& lists, int64_t count, uint32_t limit,
                   const Rows& rows) {
  launch(device.stream(), {blocks_for(count, 1), kThreads}, place_by_rank_kernel, lists, limit,
         rows);
}

void check_entries(uint64_t entries) {
  if (entries <= 0xffffffffu) return;
  throw Failure(MONOSEM_ERR_UNSUPPORTED, "more than 2^32 - 1 activations in one result (" +
                                             std::to_string(entries) + "): use smaller batches");
}

void allocate_csr(Device& device, int64_t tokens, int64_t d_sae, const Totals& totals,
                  Scratch<uint32_t>& offsets, monosem_csr* out) {
  check_entries(totals.entries);
  const int64_t nnz = static_cast<int64_t>(totals.entries);
  Scratch<uint32_t> indices(device, nnz);
  Scratch<float> values(device, nnz);
  *out = {tokens, d_sae, nnz, offsets.take(), indices.take(), values.take()};
}

}  // namespace monosem::cuda
