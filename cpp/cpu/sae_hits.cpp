// From hits to results: the merge into CSR, and the choice of the top k.

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/thread_pool.h"
#include "cpu/sae_plan.h"

namespace monosem::cpu {

void Hits::start(int64_t tokens) {
  used = 0;
  offsets.clear();
  offsets.reserve(tokens + 1);
  offsets.push_back(0);
}

void Hits::reserve(int64_t count) {
  const size_t needed = static_cast<size_t>(used + count + 16);
  if (indices.size() >= needed) return;
  const size_t size = std::max(needed, indices.size() + indices.size() / 2);
  indices.resize(size);
  values.resize(size);
}

void merge_hits(const std::vector<TokenBlock>& blocks, int64_t tokens, int64_t d_sae,
                monosem_csr& out) {
  Memory<uint32_t> row_offsets(tokens + 1);
  uint64_t total = 0;
  int64_t token = 0;
  row_offsets[0] = 0;
  for (const TokenBlock& block : blocks)
    for (int64_t t = 0; t < block.tokens; ++t) {
      for (const Hits& piece : block.pieces) total += piece.offsets[t + 1] - piece.offsets[t];
      if (total > std::numeric_limits<uint32_t>::max())
        throw Error(kUnsupported,
                    "one encode gave more than 2^32 active features; encode fewer "
                    "tokens at a time");
      row_offsets[++token] = static_cast<uint32_t>(total);
    }
  Memory<uint32_t> indices(static_cast<int64_t>(total));
  Memory<float> values(static_cast<int64_t>(total));
  token = 0;
  for (const TokenBlock& block : blocks) {
    ThreadPool::instance().run(block.tokens, 32, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        uint32_t at = row_offsets[token + t];
        for (const Hits& piece : block.pieces) {
          const uint32_t from = piece.offsets[t], count = piece.offsets[t + 1] - from;
          std::copy_n(piece.indices.data() + from, count, indices.get() + at);
          std::copy_n(piece.values.data() + from, count, values.get() + at);
          at += count;
        }
      }
    });
    token += block.tokens;
  }
  out = {
      tokens,          d_sae, static_cast<int64_t>(total), row_offsets.release(), indices.release(),
      values.release()};
}

void append_top_k(const Microkernels& kernels, const float* scores, int64_t count, int64_t k,
                  Hits& hits) {
  // One pass keeps what exceeds the k-th largest seen so far; whenever the list has grown enough it
  // is cut back to k, which raises that floor. Later equals of the floor lose their tie by index.
  constexpr int64_t kChunk = 1024;
  static thread_local std::vector<uint64_t> keys;
  static thread_local std::vector<uint32_t> indices;
  static thread_local std::vector<float> values;
  const int64_t limit = 2 * k + kChunk;
  indices.resize(limit + kChunk + 16);
  values.resize(limit + kChunk + 16);
  int64_t used = 0;
  float floor = 0.0f;
  const auto cut = [&](bool last) {
    if (used > k) {
      keys.resize(used);
      // Positive floats order like their bits; NaN is made the largest, low indices beat high ones.
      for (int64_t i = 0; i < used; ++i) {
        const float v = values[i];
        const uint32_t bits = v != v ? 0x7fffffffu : std::bit_cast<uint32_t>(v);
        keys[i] = uint64_t{bits} << 32 | (0xffffffffu - indices[i]);
      }
      std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end(), std::greater<>());
      floor = std::bit_cast<float>(static_cast<uint32_t>(keys[k - 1] >> 32));
      const uint64_t smallest = keys[k - 1];
      int64_t kept = 0;
      for (int64_t i = 0; i < used; ++i) {
        const float v = values[i];
        const uint32_t bits = v != v ? 0x7fffffffu : std::bit_cast<uint32_t>(v);
        if ((uint64_t{bits} << 32 | (0xffffffffu - indices[i])) < smallest) continue;
        indices[kept] = indices[i];
        values[kept++] = v;
      }
      used = kept;
    }
    if (!last) return;
    hits.reserve(used);
    std::copy_n(indices.data(), used, hits.indices.data() + hits.used);
    std::copy_n(values.data(), used, hits.values.data() + hits.used);
    hits.used += used;
    hits.end_token();
  };
  for (int64_t i = 0; i < count; i += kChunk) {
    used += kernels.above(scores + i, std::min(kChunk, count - i), floor, static_cast<uint32_t>(i),
                          indices.data() + used, values.data() + used);
    if (used > limit) cut(false);
  }
  cut(true);
}

}  // namespace monosem::cpu
