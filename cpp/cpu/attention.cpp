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

#include "cpu/isa.h"
#include "cpu/pack.h"
#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

constexpr float kHidden = -std::numeric_limits<float>::infinity();
constexpr int64_t kRows = 84;      // of a block: whole register tiles of every instruction set
constexpr int64_t kKeys = 128;     // of a tile, when keys and values are packed
constexpr int64_t kFewRows = 4;    // up to here (decoding) packing costs more than it saves
constexpr int64_t kFewKeys = 512;  // of a tile then

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

int64_t offset(const View& view, int64_t a, int64_t b, int64_t c) {
  return a * view.stride[0] + b * view.stride[1] + c * view.stride[2];
}

/// The sizes of one call.
struct Sizes {
  explicit Sizes(const monosem_attention& a)
      : batch(a.q.shape[0]),
        queries(a.q.shape[1]),
        heads(a.q.shape[2]),
        d_head(a.q.shape[3]),
        keys(a.k.shape[1]),
        key_heads(std::max<int64_t>(1, a.k.shape[2])),
        group(std::max<int64_t>(1, heads / key_heads)),
        block_queries(std::clamp<int64_t>(kRows / group, 1, std::max<int64_t>(1, queries))),
        blocks((queries + block_queries - 1) / block_queries),
        block_rows(block_queries * group),
        reads_in_place(block_rows <= kFewRows && in_place(a.k) && (!a.v.data || in_place(a.v))),
        tile_keys(reads_in_place ? kFewKeys : kKeys),
        score_width(round_up(tile_keys, microkernels().tile_columns)),
        sum_width(round_up(d_head, microkernels().tile_columns)) {}

  static bool in_place(const View& view) {
    return view.dtype != MONOSEM_INT32 && (view.stride[3] == 1 || view.shape[3] == 1);
  }

  int64_t batch, queries, heads, d_head, keys, key_heads;
  int64_t group;  // query heads per key head
  int64_t block_queries, blocks, block_rows;
  bool reads_in_place;
  int64_t tile_keys;
  int64_t score_width, sum_width;  // floats per row of a block's scores and sums
};

/// One block of queries against the tiles of one key head. Row r is query first + r / group, head
/// key_head * group + r % group.
class Block {
 public:
  Block(const monosem_attention& a, const Sizes& sizes)
      : a_(a),
        s_(sizes),
        queries_(s_.block_rows * s_.d_head),
        packed_queries_(s_.block_rows * s_.d_head + kSlack),
        scores_(s_.block_rows * s_.score_width),
        weights_(s_.block_rows * std::max(s_.tile_keys, s_.d_head) + kSlack),
        packed_(std::max(s_.d_head * s_.score_width, s_.tile_keys * s_.sum_width) + kSlack) {}

  void start(int64_t task) {
    batch = task / (s_.key_heads * s_.blocks);
    key_head_ = task / s_.blocks % s_.key_heads;
    first_ = task % s_.blocks * s_.block_queries;
    rows = std::min(s_.block_queries, s_.queries - first_) * s_.group;
    padding_ = leading_padding();
    for (int64_t r = 0; r < rows; ++r) {
      float* q = queries_.get() + r * s_.d_head;
      load(run_at(a_.q, offset(a_.q, batch, query(r), head(r))), s_.d_head, q);
      row_kernels().standardize(q, q, s_.d_head, 0.0f, a_.scale);
    }
    if (!s_.reads_in_place) pack_rows(queries_.get(), s_.d_head, s_.d_head, packed_queries_.get());
  }

  int64_t batch = 0, rows = 0;
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
  /// Tiles start at the first key that is no padding: sums over a text are the same behind pads.
  int64_t first_key() const { return std::max(begin(first_), padding_); }
  int64_t end_key() const { return end(query(rows - 1)); }

  /// scores(r)[j] for keys [key, key + n): scaled, capped, -inf where hidden.
  void score(int64_t key, int64_t n) {
    if (s_.reads_in_place) {
      kernels_.dot_rows(queries_.get(), s_.d_head, rows, at(a_.k, key), a_.k.dtype, a_.k.stride[1],
                        n, s_.d_head, scores_.get(), s_.score_width);
    } else {
      score_panels(key, n);
    }
    for (int64_t r = 0; r < rows; ++r) {
      if (a_.softcap > 0) row_kernels().unary(MONOSEM_SOFTCAP, scores(r), scores(r), n, a_.softcap);
      hide(scores(r), query(r), key, n);
    }
  }
  float* scores(int64_t r) const { return scores_.get() + r * s_.score_width; }

  /// sums[r, :] += sum over the tile of scores(r)[j] * v[key + j, :]
  void add_values(int64_t key, int64_t n, float* sums) {
    if (!s_.reads_in_place) return add_panels(key, n, sums);
    float* tile_sums = weights_.get();
    kernels_.sum_rows(scores(0), s_.score_width, rows, at(a_.v, key), a_.v.dtype, a_.v.stride[1],
                      s_.d_head, n, tile_sums, s_.d_head);
    for (int64_t r = 0; r < rows; ++r) {
      float* sum = sums + r * s_.sum_width;
      row_kernels().binary(MONOSEM_ADD, sum, tile_sums + r * s_.d_head, sum, s_.d_head);
    }
  }

 private:
  static constexpr int64_t kSlack = 16;  // of pack_panels

  int64_t leading_padding() const {
    if (!a_.mask.data) return 0;
    const int32_t* mask = static_cast<const int32_t*>(a_.mask.data) + batch * a_.mask.stride[0];
    int64_t key = 0;
    while (key < s_.keys && mask[key * a_.mask.stride[1]] == 0) ++key;
    return key;
  }

  const void* at(const View& view, int64_t key) const {
    return run_at(view, offset(view, batch, key, key_head_)).data;
  }

  /// The block's rows, `stride` floats apart, in panels of one register tile's rows.
  void pack_rows(const float* from, int64_t stride, int64_t depth, float* packed) const {
    for (int64_t r = 0; r < rows; r += kernels_.tile_rows) {
      const int64_t height = std::min<int64_t>(kernels_.tile_rows, rows - r);
      pack_panels(kernels_, {from + r * stride, MONOSEM_FLOAT32, stride, 1}, height, depth,
                  packed + r * depth, height);
    }
  }

  /// Of the keys [key, key + n), how many the last row of the panel at row r sees by causality:
  /// what lies beyond is computed for none of its rows.
  int64_t depth_of(int64_t r, int64_t key, int64_t n) const {
    const int64_t last = std::min(r + kernels_.tile_rows, rows) - 1;
    return std::clamp<int64_t>(end(query(last)) - key, 0, n);
  }

  void score_panels(int64_t key, int64_t n) const {
    const Operand keys{at(a_.k, key), a_.k.dtype, a_.k.stride[1], a_.k.stride[3]};
    const int64_t columns = kernels_.tile_columns;
    pack_panels(kernels_, keys, n, s_.d_head, packed_.get(), columns);
    for (int64_t j = 0; j < n; j += columns)
      for (int64_t r = 0; r < rows; r += kernels_.tile_rows)
        if (j < depth_of(r, key, n))
          tile(r)(s_.d_head, packed_queries_.get() + r * s_.d_head, packed_.get() + j * s_.d_head,
                  scores(r) + j, s_.score_width, false, {});
  }

  void add_panels(int64_t key, int64_t n, float* sums) const {
    const Operand values{at(a_.v, key), a_.v.dtype, a_.v.stride[3], a_.v.stride[1]};
    const int64_t columns = kernels_.tile_columns;
    pack_rows(scores_.get(), s_.score_width, n, weights_.get());
    pack_panels(kernels_, values, s_.d_head, n, packed_.get(), columns);
    for (int64_t j = 0; j < s_.d_head; j += columns)
      for (int64_t r = 0; r < rows; r += kernels_.tile_rows)
        tile(r)(depth_of(r, key, n), weights_.get() + r * n, packed_.get() + j * n,
                sums + r * s_.sum_width + j, s_.sum_width, true, {});
  }

  /// The kernel of the panel at row r.
  Microkernels::Tile tile(int64_t r) const {
    return kernels_.tile[std::min<int64_t>(kernels_.tile_rows, rows - r) - 1];
  }

  void hide(float* row, int64_t query, int64_t key, int64_t n) const {
    const int64_t from = std::clamp<int64_t>(begin(query) - key, 0, n);
    const int64_t to = std::clamp<int64_t>(end(query) - key, from, n);
    std::fill(row, row + from, kHidden);
    std::fill(row + to, row + n, kHidden);
    if (!a_.mask.data) return;
    const int32_t* mask = static_cast<const int32_t*>(a_.mask.data) + batch * a_.mask.stride[0];
    for (int64_t j = from; j < to; ++j)
      if (mask[(key + j) * a_.mask.stride[1]] == 0) row[j] = kHidden;
  }

  const Microkernels& kernels_ = microkernels();
  const monosem_attention& a_;
  const Sizes& s_;
  Memory<float> queries_, packed_queries_, scores_, weights_, packed_;
  int64_t key_head_ = 0, first_ = 0, padding_ = 0;
};

/// The softmax of one row, tile by tile.
struct Running {
  float largest = kHidden;
  float sum = 0;

  /// Scores to weights relative to the largest so far; returns by what older weights shrink.
  float weigh(float* scores, int64_t n) {
    const float now = std::max(largest, row_kernels().maximum(scores, n));
    // While every key is hidden the shift must stay finite: exp(-inf - -inf) would be NaN.
    const float shift = now == kHidden ? 0.0f : now;
    const float shrink = std::exp(largest - shift);
    sum = sum * shrink + static_cast<float>(row_kernels().exp_sum(scores, scores, n, shift));
    largest = now;
    return shrink;
  }
};

void attend(Block& block, const Sizes& sizes, const View& out, float* sums, Running* running) {
  const int64_t width = sizes.sum_width;
  std::fill_n(sums, block.rows * width, 0.0f);
  std::fill_n(running, block.rows, Running{});
  for (int64_t key = block.first_key(); key < block.end_key(); key += sizes.tile_keys) {
    const int64_t n = std::min(sizes.tile_keys, block.end_key() - key);
    block.score(key, n);
    for (int64_t r = 0; r < block.rows; ++r) {
      const float shrink = running[r].weigh(block.scores(r), n);
      float* sum = sums + r * width;
      if (shrink != 1.0f) row_kernels().standardize(sum, sum, sizes.d_head, 0.0f, shrink);
    }
    block.add_values(key, n, sums);
  }
  for (int64_t r = 0; r < block.rows; ++r) {
    float* sum = sums + r * width;
    const float inverse = running[r].sum == 0.0f ? 0.0f : 1.0f / running[r].sum;
    row_kernels().standardize(sum, sum, sizes.d_head, 0.0f, inverse);
    store(run_at(out, offset(out, block.batch, block.query(r), block.head(r))), sizes.d_head, sum);
  }
}

/// body(begin, end) over the blocks of the call.
template <class Body>
void for_blocks(const Sizes& s, const Body& body) {
  if (s.heads == 0) return;
  // A vector instruction does a dozen of a block's multiplications in the time of a simple element.
  const int64_t work = s.block_rows * s.keys * s.d_head / 8;
  parallel(s.batch * s.key_heads * s.blocks, work, body);
}

}  // namespace

void attention(const monosem_attention& a) {
  const Sizes sizes(a);
  for_blocks(sizes, [&](int64_t begin, int64_t end) {
    Block block(a, sizes);
    Memory<float> sums(sizes.block_rows * sizes.sum_width);
    Memory<Running> running(sizes.block_rows);
    for (int64_t task = begin; task < end; ++task) {
      block.start(task);
      attend(block, sizes, a.out, sums.get(), running.get());
    }
  });
}

void attention_scores(const monosem_attention& a) {
  const Sizes sizes(a);
  for_blocks(sizes, [&](int64_t begin, int64_t end) {
    Block block(a, sizes);
    for (int64_t task = begin; task < end; ++task) {
      block.start(task);
      for (int64_t key = 0; key < sizes.keys; key += sizes.tile_keys) {
        const int64_t n = std::min(sizes.tile_keys, sizes.keys - key);
        block.score(key, n);
        for (int64_t r = 0; r < block.rows; ++r) {
          const int64_t row = offset(a.scores, block.batch, block.head(r), block.query(r));
          store(run_at(a.scores, row + key * a.scores.stride[3]), n, block.scores(r));
        }
      }
    }
  });
}

}  // namespace monosem::cpu
