#pragma once

// The innermost loops, one set of function pointers per instruction set. Everything above them is
// portable C++: it cuts the work into blocks and hands contiguous runs to these.
//
// Files: microkernels_<isa>.cpp wraps an instruction set's vectors in a struct `Simd` and compiles
// the loops of kernels/*.inl with it.

#include <cstdint>

namespace monosem::cpu {

inline constexpr int kMaxTileRows = 14;

/// One feature range of an SAE encoder's epilogue, as in monosem_sae_encoder.
struct ThresholdVectors {
  const float* gate_bias;
  const float* theta;
  const float* scale;  // null: 1
  const float* bias;
};

struct Microkernels {
  const char* isa;

  // ---- matrix product. Panels are packed: a [depth][rows], b [depth][tile_columns].
  int tile_rows;     // rows of the largest tile, at most kMaxTileRows
  int tile_columns;  // columns of every tile
  /// c[rows][tile_columns] (+)= a . b ; tile[rows - 1] is the kernel of that many rows.
  using Tile = void (*)(int64_t depth, const float* a, const float* b, float* c, int64_t c_stride,
                        bool accumulate);
  Tile tile[kMaxTileRows];
  /// dst[k][r] = src[r][k] for `rows` rows of float32 `stride` apart; dst has `dst_stride` floats
  /// per k. May write up to 16 floats past each dst row, later rows repair it: leave 64 bytes of
  /// slack.
  void (*interleave)(const float* src, int64_t stride, int64_t rows, int64_t depth, float* dst,
                     int64_t dst_stride);
  /// dst[j / width][k][j % width] = src[k][j] as float32: panels of `width` columns, each
  /// [depth][width].
  void (*split_columns)(const void* src, int32_t dtype, int64_t stride, int64_t columns,
                        int64_t depth, float* dst, int64_t width);

  // ---- storage to float32, contiguous runs; dtype is a monosem_dtype
  void (*to_float32)(const void* src, int32_t dtype, int64_t count, float* dst);

  // ---- products with few rows, which read the matrix once, unpacked
  /// y[i * y_stride + j] = x[i, :] . w[j, :] for i < rows, j < columns; both contiguous along
  /// depth.
  void (*dot_rows)(const float* x, int64_t x_stride, int64_t rows, const void* w, int32_t dtype,
                   int64_t w_stride, int64_t columns, int64_t depth, float* y, int64_t y_stride);
  /// y[i, j] = sum_k x[i, k] w[k, j]; w rows contiguous along j.
  void (*sum_rows)(const float* x, int64_t x_stride, int64_t rows, const void* w, int32_t dtype,
                   int64_t w_stride, int64_t columns, int64_t depth, float* y, int64_t y_stride);

  // ---- sparse rows
  /// out[0..columns) = sum_i values[i] * w[indices[i], 0..columns), rows `stride` elements apart.
  void (*gather_rows)(const uint32_t* indices, const float* values, int64_t count, const void* w,
                      int32_t dtype, int64_t stride, int64_t columns, float* out);

  // ---- SAE epilogues. Both append to indices/values, which have room for count + 16 entries, in
  // ascending order, and return how many they appended.
  /// Threshold rule of monosem_sae_encoder on acc[count]; indices count from `first`.
  int64_t (*threshold)(const float* acc, int64_t count, const ThresholdVectors& vectors,
                       uint32_t first, uint32_t* indices, float* values);
  /// Every score with not (score <= floor).
  int64_t (*above)(const float* scores, int64_t count, float floor, uint32_t first,
                   uint32_t* indices, float* values);
  /// scores[i] = acc[i] * scale[i] + bias[i]; scale may be null. In place.
  void (*affine)(float* acc, int64_t count, const float* scale, const float* bias);
};

// null where the architecture has no such instructions
const Microkernels* microkernels_scalar();
const Microkernels* microkernels_avx2();
const Microkernels* microkernels_avx512();
const Microkernels* microkernels_neon();

}  // namespace monosem::cpu
