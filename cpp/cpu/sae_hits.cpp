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

void Hits::append(const uint32_t* from_indices, const float* from_values, int64_t count) {
  reserve(count);
  std::copy_n(from_indices, count, indices.data() + used);
  std::copy_n(from_values, count, values.data() + used);
  used += count;
  end_token();
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

namespace {

/// Positive floats order like their bits; NaN is made the largest, low indices beat high ones.
uint64_t order_of(float value, uint32_t index) {
  const uint32_t bits = value != value ? 0x7fffffffu : std::bit_cast<uint32_t>(value);
  return uint64_t{bits} << 32 | (0xffffffffu - index);
}

}  // namespace

void TopK::start(int64_t k) {
  k_ = k;
  used_ = 0;
  floor_ = 0.0f;
  const size_t room = static_cast<size_t>(2 * k + 2 * kChunk + 16);
  if (indices_.size() < room) {
    indices_.resize(room);
    values_.resize(room);
  }
}

void TopK::added(int64_t count) {
  used_ += count;
  if (used_ > 2 * k_ + kChunk) cut();
}

void TopK::cut() {
  if (used_ <= k_) return;
  keys_.resize(used_);
  for (int64_t i = 0; i < used_; ++i) keys_[i] = order_of(values_[i], indices_[i]);
  std::nth_element(keys_.begin(), keys_.begin() + (k_ - 1), keys_.end(), std::greater<>());
  const uint64_t least = keys_[k_ - 1];
  floor_ = std::bit_cast<float>(static_cast<uint32_t>(least >> 32));
  int64_t kept = 0;
  for (int64_t i = 0; i < used_; ++i) {
    if (order_of(values_[i], indices_[i]) < least) continue;
    indices_[kept] = indices_[i];
    values_[kept++] = values_[i];
  }
  used_ = kept;
}

void append_top_k(const Microkernels& kernels, const float* scores, int64_t count, int64_t k,
                  Hits& hits) {
  static thread_local TopK top;
  top.start(k);
  for (int64_t i = 0; i < count; i += TopK::kChunk)
    top.added(kernels.above(scores + i, std::min(TopK::kChunk, count - i), top.floor(),
                            static_cast<uint32_t>(i), top.next_indices(), top.next_values()));
  top.finish();
  hits.append(top.indices(), top.values(), top.size());
}

TokenBlock join_tokens(const std::vector<Hits>& tokens) {
  TokenBlock block{static_cast<int64_t>(tokens.size()), std::vector<Hits>(1)};
  Hits& all = block.pieces[0];
  all.start(block.tokens);
  for (const Hits& token : tokens)
    all.append(token.indices.data(), token.values.data(), token.used);
  return block;
}

}  // namespace monosem::cpu
