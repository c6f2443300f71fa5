// sae_encode: sparse activations of a batch, without the dense matrix. The product and its epilogue
// are encode_tile.cuh's; here is the order of work around it, and the thresholded way. Its counters
// run past the room that a token has, so a token that overflows costs nothing to notice; it alone
// is encoded again with room for its now known count. encode_top_k.cu has the other way.
//
// Values do not depend on the floor, the room or the position in a tile, so a result is the same
// bits however often its tokens were encoded.

#include <algorithm>

#include "encode_block.cuh"

namespace monosem::cuda {

namespace {

void encode_threshold(Device& device, monosem_sae_plan& plan, const EncodeBlock& block,
                      uint32_t* offsets, Parts& parts) {
  const int64_t d_sae = plan.encoder.d_sae, n = block.tokens;
  const Lists lists(device, n, std::min(plan.capacity, d_sae));
  const Scratch<int32_t> overflowed(device, n);
  block.encode(lists, n, nullptr, 0.0f);
  const auto room = static_cast<uint32_t>(lists.capacity);
  const Totals totals =
      add_up(device, lists.counts.get(), n, static_cast<uint32_t>(entries_of(parts)), room, offsets,
             overflowed.get());
  const Rows rows = add_part(device, parts, totals, d_sae, offsets);
  place_by_rank(device, lists.entries(nullptr), n, room, rows);
  const int64_t largest = totals.largest;
  const int64_t group = std::max<int64_t>(1, kListBytes / 8 / std::max<int64_t>(1, largest));
  for (int64_t first = 0; first < totals.above; first += group) {
    const int64_t count = std::min<int64_t>(group, totals.above - first);
    const Lists again(device, count, largest);
    block.encode(again, count, overflowed.get() + first, 0.0f);
    place_by_rank(device, again.entries(overflowed.get() + first), count, kNoLimit, rows);
  }
  // Room for a quarter more than the fullest token of this batch, but for no more than the bytes
  // that a second encoding may use.
  const int64_t wanted = std::max<int64_t>(256, (largest + largest / 4 + 31) / 32 * 32);
  plan.capacity = std::max(plan.capacity, std::min(wanted, kListBytes / 8 / kBlockTokens));
}

/// The parts as one result.
void join(Device& device, Parts& parts, int64_t tokens, int64_t d_sae, Scratch<uint32_t>& offsets,
          monosem_csr* out) {
  const int64_t nnz = entries_of(parts);
  if (parts.size() == 1) {
    Part& only = *parts[0];
    *out = {tokens, d_sae, nnz, offsets.take(), only.indices.take(), only.values.take()};
    return;
  }
  Part whole(device, nnz);
  int64_t at = 0;
  for (const auto& part : parts) {
    const auto copy = [&](auto* to, const auto* from) {
      check(cudaMemcpyAsync(to + at, from, 4 * part->entries, cudaMemcpyDeviceToDevice,
                            device.stream()),
            "joining the blocks");
    };
    copy(whole.indices.get(), part->indices.get());
    copy(whole.values.get(), part->values.get());
    at += part->entries;
  }
  *out = {tokens, d_sae, nnz, offsets.take(), whole.indices.take(), whole.values.take()};
}

}  // namespace

// Every precision is served by the one float32-grade product: there is no screen here to refine.
void sae_encode(Device& device, monosem_sae_plan* plan, const float* x, int64_t tokens, int32_t,
                monosem_cancelled cancelled, void* context, monosem_csr* out,
                monosem_sae_stats* stats) {
  const monosem_sae_encoder& e = plan->encoder;
  Scratch<uint32_t> offsets(device, tokens + 1);
  check(cudaMemsetAsync(offsets.get(), 0, sizeof(uint32_t), device.stream()), "clearing an offset");
  Parts parts;
  double hits = 0.0;
  for (int64_t token = 0; token < tokens; token += kBlockTokens) {
    if (cancelled != nullptr && cancelled(context) != 0) {
      throw Failure(MONOSEM_ERR_ABORTED, "the encode was aborted");
    }
    const int64_t count = std::min(kBlockTokens, tokens - token);
    const EncodeBlock block(device, *plan, x + token * e.d_in, count);
    if (e.k > 0) {
      hits += encode_top_k(device, *plan, block, offsets.get() + token, parts);
    } else {
      encode_threshold(device, *plan, block, offsets.get() + token, parts);
    }
  }
  join(device, parts, tokens, e.d_sae, offsets, out);
  const double each = static_cast<double>(std::max<int64_t>(tokens, 1));
  const double active = static_cast<double>(out->nnz) / each;
  *stats = {plan->split ? "float16 x 3 fused" : "float16 x 2 fused",
            e.k > 0 ? hits / each : active,
            active,
            0.0,
            0.0,
            static_cast<double>(tokens)};
}

}  // namespace monosem::cuda
