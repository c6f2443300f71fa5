// Causal attention with grouped queries, softcap, sliding window and padding mask. A block of
// queries meets the keys tile by tile: the scores of a tile live in the second cache, and a running
// maximum and sum make the softmax exact without ever holding a row of scores (Milakov and
// Gimelshein 2018; Dao et al. 2022).
//
// The queries of all heads that share a key head form the rows of one block, so that a tile of keys
// is converted and packed once for all of them.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();
constexpr int64_t kKeys = 64;    // of a tile
constexpr int64_t kRows = 96;    // of a block: a multiple of the kernel's 6
constexpr int64_t kFewRows = 4;  // up to here packing the keys costs more than it saves

int64_t padded(int64_t n) { return (n + kTileAlign - 1) / kTileAlign * kTileAlign; }

int64_t offset(const View& view, int64_t a, int64_t b, int64_t c) {
  return a * view.stride[0] + b * view.stride[1] + c * view.stride[2];
}

/// The sizes of one call.
struct Shape {
  explicit Shape(const monosem_attention& a)
      : batch(a.q.shape[0]),
        queries(a.q.shape[1]),
        heads(a.q.shape[2]),
        d_head(a.q.shape[3]),
        keys(a.k.shape[1]),
        key_heads(std::max<int64_t>(1, a.k.shape[2])),
        group(heads / key_heads),
        block_queries(std::max<int64_t>(1, std::min(queries, kRows / group))),
        blocks((queries + block_queries - 1) / block_queries) {}

  int64_t batch, queries, heads, d_head, keys, key_heads;
  int64_t group;          // query heads per key head
  int64_t block_queries;  // times `group`: the rows of a block
  int64_t blocks;
};

/// One block of queries against the tiles of one key head. Row r is query first + r / group, head
/// key_head * group + r % group.
class Block {
 public:
  Block(const monosem_attention& a, const Shape& shape)
      : a_(a),
        s_(shape),
        queries_(shape.block_queries * shape.group * shape.d_head),
        packed_(padded(shape.d_head) * kKeys),
        loaded_(padded(shape.d_head) * kKeys),
        scores_(shape.block_queries * shape.group * kKeys) {}

  void start(int64_t task) {
    b_ = task / (s_.key_heads * s_.blocks);
    key_head_ = task / s_.blocks % s_.key_heads;
    first_ = task % s_.blocks * s_.block_queries;
    rows_ = std::min(s_.block_queries, s_.queries - first_) * s_.group;
    for (int64_t r = 0; r < rows_; ++r) {
      float* q = queries_.get() + r * s_.d_head;
      load(run_at(a_.q, offset(a_.q, b_, query(r), head(r))), s_.d_head, q);
      for (int64_t i = 0; i < s_.d_head; ++i) q[i] *= a_.scale;
    }
  }

  int64_t rows() const { return rows_; }
  int64_t batch() const { return b_; }
  int64_t key_head() const { return key_head_; }
  int64_t query(int64_t r) const { return first_ + r / s_.group; }
  int64_t head(int64_t r) const { return key_head_ * s_.group + r % s_.group; }

  /// The keys that a query sees by causality and window: [begin, end).
  int64_t begin(int64_t query) const {
    const int64_t place = query + s_.keys - s_.queries;
    return a_.window > 0 ? std::clamp<int64_t>(place - a_.window + 1, 0, s_.keys) : 0;
  }
  int64_t end(int64_t query) const {
    return std::clamp<int64_t>(query + s_.keys - s_.queries + 1, 0, s_.keys);
  }
  int64_t first_key() const { return begin(first_); }
  int64_t last_key() const { return end(query(rows_ - 1)); }

  /// scores()[r, j] for keys [key, key + n): scaled, capped, -inf where hidden.
  void score(int64_t key, int64_t n) {
    const RowKernels& kernels = row_kernels();
    if (rows_ <= kFewRows) {
      int64_t stride = s_.d_head;
      const float* k = tile(a_.k, key, n, stride);
      kernels.tile_dots(queries_.get(), s_.d_head, k, stride, scores_.get(), kKeys, rows_, n,
                        s_.d_head);
    } else {
      pack_keys(key, n);
      kernels.tile_product(queries_.get(), s_.d_head, packed_.get(), kKeys, scores_.get(), kKeys,
                           rows_, n, s_.d_head, false);
    }
    for (int64_t r = 0; r < rows_; ++r) {
      float* row = scores(r);
      if (a_.softcap > 0) kernels.unary(MONOSEM_SOFTCAP, row, row, n, a_.softcap);
      hide(row, query(r), key, n);
    }
  }
  float* scores(int64_t r) const { return scores_.get() + r * kKeys; }

  /// The tile's values as float32 rows `stride` apart, readable up to padded(d_head).
  const float* values(int64_t key, int64_t n, int64_t& stride) const {
    stride = padded(s_.d_head);
    return tile(a_.v, key, n, stride);
  }

 private:
  /// Keys or values [key, key + n) of the block's head: where they are, if they are float32 rows of
  /// the wanted width, else copied at the given stride.
  const float* tile(const View& view, int64_t key, int64_t n, int64_t& stride) const {
    const Run first = run_at(view, offset(view, b_, key, key_head_));
    if (first.is_float32_row() && stride == s_.d_head) {
      stride = view.stride[1];
      return reinterpret_cast<const float*>(first.data);
    }
    for (int64_t j = 0; j < n; ++j) {
      float* to = loaded_.get() + j * stride;
      load(run_at(view, offset(view, b_, key + j, key_head_)), s_.d_head, to);
      std::fill(to + s_.d_head, to + stride, 0.0f);
    }
    return loaded_.get();
  }

  /// packed[i, j] = k[key + j, i]: the tile transposed, so that a vector holds neighbouring keys.
  void pack_keys(int64_t key, int64_t n) {
    int64_t stride = s_.d_head;
    const float* k = tile(a_.k, key, n, stride);
    for (int64_t i = 0; i < s_.d_head; ++i) {
      float* to = packed_.get() + i * kKeys;
      for (int64_t j = 0; j < n; ++j) to[j] = k[j * stride + i];
      std::fill(to + n, to + kKeys, 0.0f);
    }
  }

  void hide(float* row, int64_t query, int64_t key, int64_t n) const {
    const int64_t from = std::clamp<int64_t>(begin(query) - key, 0, n);
    const int64_t to = std::clamp<int64_t>(end(query) - key, from, n);
    std::fill(row, row + from, kHidden);
    std::fill(row + to, row + n, kHidden);
    if (!a_.mask.data) return;
    const int32_t* mask = static_cast<const int32_t*>(a_.mask.data) + b_ * a_.mask.stride[0];
    for (int64_t j = from; j < to; ++j)
      if (mask[(key + j) * a_.mask.stride[1]] == 0) row[j] = kHidden;
  }

  const monosem_attention& a_;
  const Shape& s_;
  Memory<float> queries_, packed_, loaded_, scores_;
  int64_t b_ = 0, key_head_ = 0, first_ = 0, rows_ = 0;
};

/// The softmax of one row, tile by tile.
struct Running {
  float largest = kHidden;
  float sum = 0;

  /// Scores to weights relative to the largest so far; returns by what older weights shrink.
  float weigh(float* scores, int64_t n) {
    const RowKernels& kernels = row_kernels();
    const float now = std::max(largest, kernels.maximum(scores, n));
    // While every key is hidden the shift must stay finite: exp(-inf - -inf) would be NaN.
    const float shift = now == kHidden ? 0.0f : now;
    const float shrink = std::exp(largest - shift);
    sum = sum * shrink + static_cast<float>(kernels.exp_sum(scores, scores, n, shift));
    largest = now;
    return shrink;
  }
};

void attend(Block& block, const Shape& shape, const monosem_attention& a, float* sums,
            Running* running) {
  const RowKernels& kernels = row_kernels();
  const int64_t width = padded(shape.d_head);
  std::fill_n(sums, block.rows() * width, 0.0f);
  std::fill_n(running, block.rows(), Running{});
  for (int64_t key = block.first_key(); key < block.last_key(); key += kKeys) {
    const int64_t n = std::min(kKeys, block.last_key() - key);
    block.score(key, n);
    for (int64_t r = 0; r < block.rows(); ++r) {
      const float shrink = running[r].weigh(block.scores(r), n);
      if (shrink != 1.0f) kernels.standardize(sums + r * width, sums + r * width, width, 0, shrink);
    }
    int64_t stride;
    const float* v = block.values(key, n, stride);
    kernels.tile_product(block.scores(0), kKeys, v, stride, sums, width, block.rows(), width, n,
                         true);
  }
  for (int64_t r = 0; r < block.rows(); ++r) {
    float* sum = sums + r * width;
    const float inverse = running[r].sum == 0.0f ? 0.0f : 1.0f / running[r].sum;
    kernels.standardize(sum, sum, shape.d_head, 0.0f, inverse);
    store(run_at(a.out, offset(a.out, block.batch(), block.query(r), block.head(r))), shape.d_head,
          sum);
  }
}

void write_scores(Block& block, const Shape& shape, const View& scores) {
  auto target = [&](int64_t r, int64_t key) {
    return run_at(scores, offset(scores, block.batch(), block.head(r), block.query(r)) +
                              key * scores.stride[3]);
  };
  for (int64_t key = 0; key < shape.keys; key += kKeys) {
    const int64_t n = std::min(kKeys, shape.keys - key);
    block.score(key, n);
    for (int64_t r = 0; r < block.rows(); ++r) store(target(r, key), n, block.scores(r));
  }
}

/// body(block) for every block of the call; a block does some `queries x keys x d_head` products.
template <class Body>
void for_blocks(const monosem_attention& a, const Shape& shape, const Body& body) {
  if (shape.queries == 0 || shape.heads == 0) return;
  const int64_t tasks = shape.batch * shape.key_heads * shape.blocks;
  const int64_t work = shape.block_queries * shape.group * shape.keys * shape.d_head / 8;
  parallel(tasks, work, [&](int64_t begin, int64_t end) {
    Block block(a, shape);
    for (int64_t task = begin; task < end; ++task) {
      block.start(task);
      body(block);
    }
  });
}

}  // namespace

void attention(const monosem_attention& a) {
  const Shape shape(a);
  for_blocks(a, shape, [&](Block& block) {
    Memory<float> sums(shape.block_queries * shape.group * padded(shape.d_head));
    Memory<Running> running(shape.block_queries * shape.group);
    attend(block, shape, a, sums.get(), running.get());
  });
}

void attention_scores(const monosem_attention& a) {
  const Shape shape(a);
  for_blocks(a, shape, [&](Block& block) { write_scores(block, shape, a.scores); });
}

}  // namespace monosem::cpu
