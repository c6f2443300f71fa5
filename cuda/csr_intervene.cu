// csr_intervene: zero, set, grow, scale or keep the listed features of every token.
// Traffic: each entry read, written to a list of its token, read and placed: 32 B an entry. A block
// per token; membership by binary search.

#include "compact.cuh"
#include "operators.cuh"
#include "shared.cuh"

namespace monosem::cuda {

namespace {

constexpr int kThreads = 128;

__device__ __forceinline__ bool contains(const uint32_t* sorted, int64_t n, uint32_t wanted) {
  int64_t low = 0;
  while (low < n) {
    const int64_t middle = (low + n) / 2;
    if (sorted[middle] < wanted) {
      low = middle + 1;
    } else if (sorted[middle] > wanted) {
      n = middle;
    } else {
      return true;
    }
  }
  return false;
}

struct Listed {
  uint32_t count;
};

struct Intervention {
  int kind;
  const uint32_t* features;
  int64_t count;
  float value;
  bool adds;  // features that a token does not have may appear
};

// The value that an entry of the row becomes; 0: it vanishes.
__device__ __forceinline__ float changed(const Intervention& what, uint32_t feature, float value) {
  const bool listed = contains(what.features, what.count, feature);
  switch (what.kind) {
    case MONOSEM_KEEP:
      return listed ? value : 0.0f;
    case MONOSEM_SCALE:
      return listed ? value * what.value : value;
    case MONOSEM_PLUS:
      return listed ? value + what.value : value;
    default:  // ZERO, and SET, whose entries come from the list
      return listed ? 0.0f : value;
  }
}

// The list of token t begins at row_offsets[t], and at t * count beyond it where features appear.
__global__ void __launch_bounds__(kThreads)
    intervene_kernel(monosem_csr csr, Intervention what, uint2* entries, uint32_t* counts) {
  auto& s = shared_memory<Listed>();
  if (threadIdx.x == 0) s.count = 0;
  __syncthreads();
  const int64_t token = blockIdx.x;
  const uint32_t first = csr.row_offsets[token], end = csr.row_offsets[token + 1];
  uint2* list = entries + first + (what.adds ? token * what.count : 0);
  for (uint32_t i = first + threadIdx.x; i < end; i += kThreads) {
    const float value = changed(what, csr.indices[i], csr.values[i]);
    if (value != 0.0f) {
      list[atomicAdd(&s.count, 1u)] = make_uint2(csr.indices[i], __float_as_uint(value));
    }
  }
  if (what.adds) {
    for (int64_t i = threadIdx.x; i < what.count; i += kThreads) {
      const uint32_t feature = what.features[i];
      const bool there =
          what.kind == MONOSEM_PLUS && contains(csr.indices + first, end - first, feature);
      if (!there) list[atomicAdd(&s.count, 1u)] = make_uint2(feature, __float_as_uint(what.value));
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) counts[token] = s.count;
}

}  // namespace

void csr_intervene(Device& device, const monosem_csr* csr, int32_t intervention,
                   const uint32_t* features, int64_t count, float value, monosem_csr* out) {
  const Scratch<uint32_t> listed(device, count);
  device.upload(listed.get(), features, sizeof(uint32_t) * count);
  const bool adds = (intervention == MONOSEM_SET || intervention == MONOSEM_PLUS) && value != 0.0f;
  const int64_t stride = adds ? count : 0;
  const Scratch<uint2> entries(device, csr->nnz + csr->tokens * stride);
  const Scratch<uint32_t> counts(device, csr->tokens);
  Scratch<uint32_t> offsets(device, csr->tokens + 1);
  const Intervention what{intervention, listed.get(), count, value, adds};
  launch(device.stream(), {blocks_for(csr->tokens, 1), kThreads}, intervene_kernel, *csr, what,
         entries.get(), counts.get());
  const Totals totals =
      add_up(device, counts.get(), csr->tokens, 0, kNoLimit, offsets.get(), nullptr);
  allocate_csr(device, csr->tokens, csr->d_sae, totals, offsets, out);
  const EntryLists lists{entries.get(), stride, csr->row_offsets, counts.get(), nullptr};
  place_by_rank(device, lists, csr->tokens, kNoLimit,
                {out->d_sae, out->row_offsets, 0, out->indices, out->values});
}

}  // namespace monosem::cuda
