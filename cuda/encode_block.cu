// One block of tokens of sae_encode. Bytes: x is read once in float32 and written as two planes of
// 16 bits; what the product reads and writes is encode_tile.cuh's.

#include "encode_block.cuh"

#include "encode_tile.cuh"

namespace monosem::cuda {

namespace {

// Up to here a tile of 16 tokens, several blocks sharing their weights through L2, does less work
// than one of 128.
constexpr int64_t kFewTokens = 48;

void multiply(Device& device, const monosem_sae_plan& plan, const EncodeTask& task) {
  const bool few = task.tokens <= kFewTokens;
  if (plan.split) {
    few ? encode_tiles<SmallTile, true>(device, task) : encode_tiles<LargeTile, true>(device, task);
  } else {
    few ? encode_tiles<SmallTile, false>(device, task)
        : encode_tiles<LargeTile, false>(device, task);
  }
}

}  // namespace

EncodeBlock::EncodeBlock(Device& device, const monosem_sae_plan& plan, const float* x,
                         int64_t tokens_)
    : tokens(tokens_),
      device_(device),
      plan_(plan),
      depth_(padded_depth(plan.encoder.d_in)),
      high_(device, tokens * depth_),
      low_(device, tokens * depth_),
      scale_(device, tokens),
      norm_(device, tokens) {
  const int64_t d_in = plan.encoder.d_in;
  const monosem_view view{const_cast<float*>(x), MONOSEM_FLOAT32, 2, {tokens, d_in}, {d_in, 1}};
  split_rows(device, view, planes());
}

void EncodeBlock::encode(const Lists& lists, int64_t count, const int32_t* rows,
                         float floor) const {
  const monosem_sae_encoder& e = plan_.encoder;
  check(cudaMemsetAsync(lists.counts.get(), 0, sizeof(uint32_t) * count, device_.stream()),
        "clearing the counts");
  multiply(device_, plan_,
           {planes(),
            {plan_.high.get(), plan_.low.get(), plan_.scale.get(), nullptr},
            depth_,
            count,
            e.d_sae,
            rows,
            e.gate_bias,
            e.theta,
            e.scale,
            e.bias,
            e.k > 0,
            floor,
            lists.hits.get(),
            static_cast<uint32_t>(lists.capacity),
            lists.counts.get()});
}

int64_t entries_of(const Parts& parts) {
  int64_t sum = 0;
  for (const auto& part : parts) sum += part->entries;
  return sum;
}

Rows add_part(Device& device, Parts& parts, const Totals& totals, int64_t d_sae,
              const uint32_t* offsets) {
  const int64_t before = entries_of(parts);
  check_entries(before + totals.entries);
  parts.push_back(std::make_unique<Part>(device, totals.entries));
  return {d_sae, offsets, static_cast<uint32_t>(before), parts.back()->indices.get(),
          parts.back()->values.get()};
}

}  // namespace monosem::cuda
