// c = act(alpha * a . b + bias). First all of a is packed, once, for everybody: it is the size of
// the activations. Then blocks of c are independent tasks, each packing its own columns of b. Few
// rows (a decode step) take another way that reads b once, unpacked, at the speed of memory.

#include <algorithm>
#include <vector>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/kernels/storage.h"
#include "cpu/packed_rows.h"
#include "cpu/scratch.h"

namespace monosem::cpu {
namespace {

// Up to here packing b costs more than reading it a few times from the first-level cache.
constexpr int64_t kFewRows = 8;
// A block: 256 columns of b, as deep as a panel of them, packed for 512 rows of a.
constexpr int64_t kBlockRows = 512, kBlockColumns = 256;
// Columns of one strip when rows are few: 8 KB of a float32 row.
constexpr int64_t kStripColumns = 2048;
// Up to here b is cut across its depth instead: strips of it would be too short to stream.
constexpr int64_t kNarrowColumns = 4096, kLongDepth = 384;
constexpr int64_t kTasksPerThread = 4;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Problem {
  const monosem_gemm& g;
  int64_t batch, m, n, k;

  Operand a(int64_t index) const { return shifted(g.a, index, g.a.stride[1], g.a.stride[2]); }
  Operand b(int64_t index) const { return shifted(g.b, index, g.b.stride[2], g.b.stride[1]); }

  static Operand shifted(const View& v, int64_t index, int64_t lane, int64_t depth) {
    return {static_cast<const char*>(v.data) + index * v.stride[0] * bytes_of(v.dtype), v.dtype,
            lane, depth};
  }
};

/// c[index, row0.., column0..] = act(alpha * sums + bias) for a block of sums.
void finish(const Problem& p, int64_t index, int64_t row0, int64_t rows, int64_t column0,
            int64_t columns, float* sums, int64_t stride) {
  const View& c = p.g.c;
  const bool direct = p.g.activation < 0 && c.dtype == MONOSEM_FLOAT32 && c.stride[2] == 1;
  const int64_t offset = index * c.stride[0] + row0 * c.stride[1] + column0 * c.stride[2];
  char* corner = static_cast<char*>(c.data) + offset * bytes_of(c.dtype);
  const float* bias = p.g.bias == nullptr ? nullptr : p.g.bias + column0;
  const float alpha = p.g.alpha;
  for (int64_t i = 0; i < rows; ++i) {
    float* from = sums + i * stride;
    float* to = direct ? reinterpret_cast<float*>(corner) + i * c.stride[1] : from;
    if (bias != nullptr)
      for (int64_t j = 0; j < columns; ++j) to[j] = alpha * from[j] + bias[j];
    else
      for (int64_t j = 0; j < columns; ++j) to[j] = alpha * from[j];
  }
  if (direct) return;
  const View from{sums, MONOSEM_FLOAT32, 2, {rows, columns}, {stride, 1}};
  const View to{corner, c.dtype, 2, {rows, columns}, {c.stride[1], c.stride[2]}};
  if (p.g.activation >= 0)
    unary(p.g.activation, to, from, 0.0f);
  else
    copy(to, from);
}

/// Few rows, rows of b contiguous and short: every task reads a stretch of whole rows, which lie
/// one after another, and the stretches' sums are added in order.
void few_rows_by_depth(const Problem& p, const Microkernels& kernels, const FloatRows& x) {
  static thread_local Scratch partial;
  const int64_t pieces = std::min<int64_t>(p.k, 2 * ThreadPool::instance().threads());
  const int64_t size = p.m * p.n;
  float* sums = partial.floats(pieces * size);
  const Operand w = p.b(0);
  ThreadPool::instance().run(pieces, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t k = piece * p.k / pieces, depth = (piece + 1) * p.k / pieces - k;
      kernels.sum_rows(x.data + k, x.stride, p.m, w.at(0, k).data, w.dtype, w.depth_stride, p.n,
                       depth, sums + piece * size, p.n);
    }
  });
  for (int64_t piece = 1; piece < pieces; ++piece)
    for (int64_t i = 0; i < size; ++i) sums[i] += sums[piece * size + i];
  finish(p, 0, 0, p.m, 0, p.n, sums, p.n);
}

/// Few rows: y = x . b by whole strips of b's columns.
void few_rows(const Problem& p, const Microkernels& kernels) {
  static thread_local Scratch inputs;
  // The batch's x as float32 rows, so that the kernels see one layout.
  float* buffer = inputs.floats(p.batch * p.m * p.k);
  std::vector<FloatRows> x(p.batch);
  for (int64_t b = 0; b < p.batch; ++b)
    x[b] = float_rows(kernels, p.a(b), p.m, p.k, buffer + b * p.m * p.k);
  if (p.batch == 1 && p.n <= kNarrowColumns && p.g.b.stride[1] != 1 && p.k >= kLongDepth)
    return few_rows_by_depth(p, kernels, x[0]);

  const int64_t threads = ThreadPool::instance().threads();
  const int64_t per_matrix = divide_up(threads, p.batch);
  const int64_t strips = per_matrix * divide_up(p.n, per_matrix * kStripColumns);
  const int64_t width = divide_up(divide_up(p.n, strips), 16) * 16;
  const int64_t count = divide_up(p.n, width);
  ThreadPool::instance().run(p.batch * count, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch sums;
    float* y = sums.floats(p.m * width);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / count, column = task % count * width;
      const int64_t columns = std::min(width, p.n - column);
      const Operand w = p.b(b).at(column, 0);
      const auto kernel = w.depth_stride == 1 ? kernels.dot_rows : kernels.sum_rows;
      const int64_t stride = w.depth_stride == 1 ? w.lane_stride : w.depth_stride;
      kernel(x[b].data, x[b].stride, p.m, w.data, w.dtype, stride, columns, p.k, y, width);
      finish(p, b, 0, p.m, column, columns, y, width);
    }
  });
}

/// One block of c, all of the depth: panels [panel0, panel1) of a by columns of b.
void block(const Problem& p, const Panels& layout, const PackedRows& a, int64_t index,
           int64_t panel0, int64_t panel1, int64_t column0, int64_t columns) {
  static thread_local Scratch b_block, c_block;
  const int64_t width = layout.columns();
  const int64_t b_panels = divide_up(columns, width), stride = b_panels * width;
  const int64_t row0 = a.row(panel0), rows = a.row(panel1) - row0;
  float* sums = c_block.floats(rows * stride);
  const Operand b = p.b(index);
  for (int64_t d = 0; d < a.depth_blocks(); ++d) {
    const int64_t depth = a.depth(d), words = layout.words(depth);
    float* b_packed = b_block.floats(stride * words + 16);
    layout.pack_columns(b.at(column0, a.first(d)), columns, depth, b_packed);
    for (int64_t j = 0; j < b_panels; ++j) {
      for (int64_t i = panel0; i < panel1; ++i) {
        layout.multiply(a.rows(i), depth, a.at(index, d, i), b_packed + j * width * words,
                        sums + (a.row(i) - row0) * stride + j * width, stride, d > 0, {});
      }
    }
  }
  if (p.k == 0) std::fill_n(sums, rows * stride, 0.0f);
  finish(p, index, row0, rows, column0, columns, sums, stride);
}

}  // namespace

void gemm(const monosem_gemm& g) { gemm(g, microkernels()); }

void gemm(const monosem_gemm& g, const Microkernels& kernels) {
  const Problem p{g, g.c.shape[0], g.c.shape[1], g.c.shape[2], g.a.shape[2]};
  if (p.batch == 0 || p.m == 0 || p.n == 0) return;
  if (p.m <= kFewRows && (g.b.stride[1] == 1 || g.b.stride[2] == 1)) return few_rows(p, kernels);

  const Panels layout(kernels, g.a.dtype, g.b.dtype);
  // Enough blocks for every thread to have several, but none narrower than two panels.
  ThreadPool& pool = ThreadPool::instance();
  const int64_t wanted = pool.threads() > 1 ? kTasksPerThread * pool.threads() : 1;
  const int64_t row_blocks = divide_up(p.m, kBlockRows);
  const int64_t panels = divide_up(p.n, layout.columns());
  int64_t column_blocks =
      std::max(divide_up(p.n, kBlockColumns),
               std::min(divide_up(wanted, p.batch * row_blocks), divide_up(panels, 2)));
  // Nine blocks on two threads would leave one of them idle for a tenth of the time.
  if (p.batch * row_blocks == 1) {
    column_blocks = std::min(panels, divide_up(column_blocks, pool.threads()) * pool.threads());
  }
  const int64_t blocks = row_blocks * column_blocks;
  const PackedRows a(
      layout, [&](int64_t index) { return p.a(index); }, p.batch, p.m, p.k, layout.most_words());
  pool.run(p.batch * blocks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t task = begin; task < end; ++task) {
      // Row blocks run fastest: the columns of b they share stay in the cache.
      const int64_t row_block = task % blocks % row_blocks,
                    column_block = task % blocks / row_blocks;
      const int64_t panel = column_block * panels / column_blocks;
      const int64_t panel_end = (column_block + 1) * panels / column_blocks;
      const int64_t column = panel * layout.columns();
      const int64_t column_end = std::min(p.n, panel_end * layout.columns());
      block(p, layout, a, task / blocks, row_block * a.panels() / row_blocks,
            (row_block + 1) * a.panels() / row_blocks, column, column_end - column);
    }
  });
}

}  // namespace monosem::cpu
