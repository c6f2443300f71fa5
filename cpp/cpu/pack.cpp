#include "cpu/pack.h"

#include <algorithm>
#include <cstring>

#include "cpu/kernels/storage.h"
#include "cpu/scratch.h"

namespace monosem::cpu {

Operand Operand::at(int64_t lane, int64_t depth) const {
  const int64_t offset = (lane * lane_stride + depth * depth_stride) * bytes_of(dtype);
  return {static_cast<const char*>(data) + offset, dtype, lane_stride, depth_stride};
}

FloatRows float_rows(const Microkernels& kernels, const Operand& src, int64_t rows, int64_t count,
                     float* buffer) {
  if (src.depth_stride == 1 && src.dtype == MONOSEM_FLOAT32)
    return {static_cast<const float*>(src.data), src.lane_stride};
  for (int64_t row = 0; row < rows; ++row) {
    const Operand from = src.at(row, 0);
    float* to = buffer + row * count;
    if (src.depth_stride == 1) {
      kernels.to_float32(from.data, src.dtype, count, to);
    } else {
      with_type(from.data, src.dtype, [&](auto* values) {
        for (int64_t k = 0; k < count; ++k) to[k] = value_of(values[k * src.depth_stride]);
      });
    }
  }
  return {buffer, count};
}

void pack_panels(const Microkernels& kernels, const Operand& src, int64_t lanes, int64_t depth,
                 float* dst, int64_t width) {
  if (src.lane_stride == 1)
    return kernels.split_columns(src.data, src.dtype, src.depth_stride, lanes, depth, dst, width);
  static thread_local Scratch converted;
  float* buffer = converted.floats(width * depth);
  for (int64_t lane = 0; lane < lanes; lane += width) {
    const int64_t count = std::min(width, lanes - lane);
    const FloatRows rows = float_rows(kernels, src.at(lane, 0), count, depth, buffer);
    kernels.interleave(rows.data, rows.stride, count, depth, dst + lane * depth, width);
  }
}

namespace {

// The second-level cache holds 256 columns of b, so deep (384 KB), beside the panels of a.
constexpr int64_t kFloat32Depth = 384;

/// `lanes` runs of pairs along the depth, filled up with zeros, as rows of `pairs` words. Returns
/// src itself (and its stride) where it is already that.
FloatRows pair_rows(const Operand& src, int64_t lanes, int64_t depth, int64_t pairs,
                    float* buffer) {
  const bool words = src.depth_stride == 1 && src.lane_stride % 2 == 0 &&
                     reinterpret_cast<uintptr_t>(src.data) % 4 == 0;
  if (words && depth == 2 * pairs)
    return {static_cast<const float*>(src.data), src.lane_stride / 2};
  uint16_t* row = reinterpret_cast<uint16_t*>(buffer);
  for (int64_t lane = 0; lane < lanes; ++lane, row += 2 * pairs) {
    const uint16_t* from = static_cast<const uint16_t*>(src.at(lane, 0).data);
    if (src.depth_stride == 1)
      std::copy_n(from, depth, row);
    else
      for (int64_t k = 0; k < depth; ++k) row[k] = from[k * src.depth_stride];
    std::fill(row + depth, row + 2 * pairs, uint16_t{0});
  }
  return {buffer, pairs};
}

/// A bfloat16 operand in panels of `width` lanes, each [pairs][width].
void pack_pairs(const Microkernels& kernels, const Operand& src, int64_t lanes, int64_t depth,
                int64_t pairs, float* dst, int64_t width) {
  if (src.lane_stride == 1)
    return kernels.split_column_pairs(static_cast<const uint16_t*>(src.data), src.depth_stride,
                                      lanes, depth, pairs, reinterpret_cast<uint32_t*>(dst), width);
  static thread_local Scratch gathered;
  float* buffer = gathered.floats(width * pairs);
  for (int64_t lane = 0; lane < lanes; lane += width) {
    const int64_t count = std::min(width, lanes - lane);
    const FloatRows rows = pair_rows(src.at(lane, 0), count, depth, pairs, buffer);
    kernels.interleave(rows.data, rows.stride, count, pairs, dst + lane * pairs, width);
  }
}

// Rows, and pairs of depth, of one tile of BFloat16Tile::rows_in_tiles.
constexpr int64_t kTileRows = 16, kTilePairs = 16;

/// The same as [lanes / 16][pairs / 16][16 lanes][16 pairs].
void pack_pair_tiles(const Operand& src, int64_t lanes, int64_t depth, int64_t pairs, float* dst) {
  static thread_local Scratch gathered;
  float* buffer = gathered.floats(kTileRows * pairs);
  for (int64_t lane = 0; lane < lanes; lane += kTileRows) {
    const int64_t count = std::min(kTileRows, lanes - lane);
    const FloatRows rows = pair_rows(src.at(lane, 0), count, depth, pairs, buffer);
    for (int64_t k = 0; k < pairs; k += kTilePairs)
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(dst + lane * pairs + k * kTileRows + r * kTilePairs,
                    rows.data + r * rows.stride + k, kTilePairs * sizeof *dst);
  }
}

}  // namespace

Panels::Panels(const Microkernels& kernels, int32_t a_dtype, int32_t b_dtype) : kernels_(kernels) {
  const BFloat16Tile& tile = kernels.bfloat16;
  if (tile.rows > 0 && a_dtype == MONOSEM_BFLOAT16 && b_dtype == MONOSEM_BFLOAT16) {
    rows_ = tile.rows;
    row_step_ = tile.rows_in_tiles ? kTileRows : 1;
    columns_ = tile.columns;
    most_words_ = tile.most_pairs;
    per_word_ = 2;
    step_ = tile.rows_in_tiles ? 2 * kTilePairs : 2;
  } else {
    rows_ = kernels.tile_rows;
    row_step_ = 1;
    columns_ = kernels.tile_columns;
    most_words_ = kFloat32Depth;
    per_word_ = step_ = 1;
  }
}

void Panels::pack_rows(const Operand& a, int64_t rows, int64_t depth, float* dst) const {
  if (per_word_ == 1) return pack_panels(kernels_, a, rows, depth, dst, rows);
  if (kernels_.bfloat16.rows_in_tiles) return pack_pair_tiles(a, rows, depth, words(depth), dst);
  pack_pairs(kernels_, a, rows, depth, words(depth), dst, rows);
}

void Panels::pack_columns(const Operand& b, int64_t columns, int64_t depth, float* dst) const {
  if (per_word_ == 1) return pack_panels(kernels_, b, columns, depth, dst, columns_);
  pack_pairs(kernels_, b, columns, depth, words(depth), dst, columns_);
}

void Panels::multiply(int64_t rows, int64_t depth, const float* a, const float* b, float* c,
                      int64_t c_stride, bool accumulate, Ahead ahead) const {
  if (per_word_ == 1) return kernels_.tile[rows - 1](depth, a, b, c, c_stride, accumulate, ahead);
  kernels_.bfloat16.multiply(rows, words(depth), reinterpret_cast<const uint32_t*>(a),
                             reinterpret_cast<const uint32_t*>(b), c, c_stride, accumulate);
}

}  // namespace monosem::cpu
