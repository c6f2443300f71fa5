// Decoding gathers the active rows of W_dec: tokens x L0 x d_out x 4 bytes, and nothing else of
// size. Token by token, four whole rows at a time: with W_dec larger than the caches that runs at
// the speed of memory, where strips of columns held in registers, which read each row in pieces,
// reach half of it.

#include <algorithm>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/kernels/storage.h"
#include "cpu/scratch.h"

namespace monosem::cpu {
namespace {

// The narrowest part of a row that is worth a task of its own.
constexpr int64_t kStripColumns = 192;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// sums: one token's gathered columns [column, column + columns). Writes what was asked for.
void finish(const monosem_decode& d, int64_t token, int64_t column, int64_t columns, float* sums) {
  const int64_t d_out = d.w_dec.shape[1], at = token * d_out + column;
  if (d.b_dec != nullptr)
    for (int64_t j = 0; j < columns; ++j) sums[j] += d.b_dec[column + j];
  if (d.recons != nullptr) std::copy_n(sums, columns, d.recons + at);
  float* out = d.out + at;
  const float first = d.stats == nullptr ? 0.0f : d.stats[2 * token];
  const float second = d.stats == nullptr ? 0.0f : d.stats[2 * token + 1];
  switch (d.normalize) {
    case MONOSEM_NORMALIZE_CONSTANT_NORM:
      for (int64_t j = 0; j < columns; ++j) out[j] = sums[j] / first;
      break;
    case MONOSEM_NORMALIZE_LAYER_NORM:
      for (int64_t j = 0; j < columns; ++j) out[j] = sums[j] * first + second;
      break;
    case MONOSEM_NORMALIZE_SCALAR:
      for (int64_t j = 0; j < columns; ++j) out[j] = sums[j] / d.factor;
      break;
    default:
      std::copy_n(sums, columns, out);
  }
  if (d.error != nullptr)
    for (int64_t j = 0; j < columns; ++j) d.error[at + j] = d.x[at + j] - out[j];
}

}  // namespace

void sae_decode(const monosem_decode& d) {
  const monosem_csr& acts = *d.acts;
  const int64_t d_out = d.w_dec.shape[1], w_stride = d.w_dec.stride[0];
  const Microkernels& kernels = microkernels();
  ThreadPool& pool = ThreadPool::instance();
  // Tokens are the pieces; when there are too few of them, strips of their columns.
  const int64_t strips = divide_up(d_out, kStripColumns);
  const int64_t parts = std::clamp<int64_t>(
      divide_up(2 * pool.threads(), std::max<int64_t>(1, acts.tokens)), 1, strips);
  const int64_t width = divide_up(strips, parts) * kStripColumns;
  const int64_t pieces = divide_up(d_out, width);
  const int64_t grain = std::clamp<int64_t>(acts.tokens / (8 * pool.threads()), 1, 16);
  pool.run(acts.tokens * pieces, grain, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch sum_scratch, value_scratch;
    float* sums = sum_scratch.floats(width);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t token = task / pieces, column = task % pieces * width;
      const int64_t columns = std::min(width, d_out - column);
      const uint32_t from = acts.row_offsets[token];
      const int64_t count = acts.row_offsets[token + 1] - from;
      const uint32_t* indices = acts.indices + from;
      const float* values = acts.values + from;
      if (d.row_scale != nullptr) {
        float* scaled = value_scratch.floats(count);
        for (int64_t i = 0; i < count; ++i) scaled[i] = values[i] * d.row_scale[indices[i]];
        values = scaled;
      }
      const char* w = static_cast<const char*>(d.w_dec.data) + column * bytes_of(d.w_dec.dtype);
      kernels.gather_rows(indices, values, count, w, d.w_dec.dtype, w_stride, columns, sums);
      finish(d, token, column, columns, sums);
    }
  });
}

}  // namespace monosem::cpu
