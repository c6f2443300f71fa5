#pragma once

// What the two ways of sae_encode share: a block of tokens multiplied on demand into lists of hits,
// and the parts that its results are.

#include <memory>
#include <vector>

#include "compact.cuh"
#include "operators.cuh"
#include "sae_plan.cuh"
#include "split.cuh"

namespace monosem::cuda {

// Tokens at a time: x's planes (2 x 2 B x 2304 x 4096 = 38 MB) stay in an H100's 50 MB of L2 while
// the feature tiles pass by. Cancellation is looked at in between.
inline constexpr int64_t kBlockTokens = 4096;
// Room for lists of a second encoding, at a time.
inline constexpr int64_t kListBytes = 256 << 20;

/// Hits of some tokens, as the epilogue leaves them.
struct Lists {
  Lists(Device& device, int64_t count, int64_t capacity_)
      : hits(device, count * capacity_), counts(device, count), capacity(capacity_) {}
  Scratch<uint2> hits;
  Scratch<uint32_t> counts;
  int64_t capacity;

  EntryLists entries(const int32_t* rows) const {
    return {hits.get(), capacity, nullptr, counts.get(), rows};
  }
};

/// One block of tokens: x split into planes, and the product on demand.
class EncodeBlock {
 public:
  /// x float32 [tokens, d_in].
  EncodeBlock(Device& device, const monosem_sae_plan& plan, const float* x, int64_t tokens);

  const int64_t tokens;
  const float* norms() const { return norm_.get(); }

  /// Fills `lists` with the active features of `count` tokens: those numbered by `rows`, or all.
  void encode(const Lists& lists, int64_t count, const int32_t* rows, float floor) const;

 private:
  Planes planes() const { return {high_.get(), low_.get(), scale_.get(), norm_.get()}; }

  Device& device_;
  const monosem_sae_plan& plan_;
  int64_t depth_;
  Scratch<uint16_t> high_, low_;
  Scratch<float> scale_, norm_;
};

/// The result of a block: its rows' entries, in order.
struct Part {
  Part(Device& device, uint64_t entries_)
      : entries(static_cast<int64_t>(entries_)),
        indices(device, entries),
        values(device, entries) {}
  int64_t entries;
  Scratch<uint32_t> indices;
  Scratch<float> values;
};
using Parts = std::vector<std::unique_ptr<Part>>;

/// Entries of all of them.
int64_t entries_of(const Parts& parts);

/// Adds the rows of `lists` as a part; offsets are the block's, from those before it on.
Rows add_part(Device& device, Parts& parts, const Totals& totals, int64_t d_sae,
              const uint32_t* offsets);

/// The k largest of every token of the block (encode_top_k.cu). Returns how many values were looked
/// at.
double encode_top_k(Device& device, monosem_sae_plan& plan, const EncodeBlock& block,
                    uint32_t* offsets, Parts& parts);

}  // namespace monosem::cuda
