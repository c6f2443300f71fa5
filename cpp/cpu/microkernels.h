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

/// What a tile fetches into the second-level cache on its way, `step` bytes further at every step
/// of the depth: what the tiles after it read first. A single tile would wait for memory, many can
/// share a panel among them. Null: nothing.
struct Ahead {
  const void* from = nullptr;
  int64_t step = 0;
};

/// How a tile of digits becomes float32: c += x_scale * w_scale * (sum - bias * w_sum).
struct DigitScales {
  const float* x_scale;  // [rows]
  const float* w_scale;  // [tile_columns]
  const int32_t* w_sum;  // [tile_columns], sum of a column's digits
  int32_t bias;          // what was added to x's digits to make them unsigned
};

/// Sums of squares, in units of the digits' scale: |x - x^|^2 and |x^|^2.
struct Quantised {
  float error, size;
};

/// One token's bound on the error of the screen's sums: by_norm * w_norm[f] + by_error *
/// w_error[f].
struct BoundRow {
  float by_norm, by_error;
  const float* w_norm;
  const float* w_error;
  const float* limit;  // per feature, or null: floor for all
  float floor;
};

/// The product of two bfloat16 matrices, summed in float32. A word is a pair of values that follow
/// one another along the depth, the earlier one in its low half. Products are exact, sums round to
/// nearest; subnormal values and sums count as zero, in the processors' instructions and here.
struct BFloat16Tile {
  int rows;        // most rows of a tile; 0: nothing here multiplies bfloat16 faster than float32
  int columns;     // columns of every tile
  int most_pairs;  // of depth, for panels that stay in the cache where the tile wants them
  /// a as [rows / 16][pairs / 16][16 rows][16 pairs], the last rows padded with anything and the
  /// pairs with zeros, not as [pairs][rows].
  bool rows_in_tiles;
  /// c[rows][columns] (+)= a . b; b is [pairs][columns].
  void (*multiply)(int64_t rows, int64_t pairs, const uint32_t* a, const uint32_t* b, float* c,
                   int64_t c_stride, bool accumulate);
};

struct Microkernels {
  const char* isa;

  // ---- matrix product. Panels are packed: a [depth][rows], b [depth][tile_columns].
  int tile_rows;     // rows of the largest tile, at most kMaxTileRows
  int tile_columns;  // columns of every tile
  /// c[rows][tile_columns] (+)= a . b ; tile[rows - 1] is the kernel of that many rows.
  using Tile = void (*)(int64_t depth, const float* a, const float* b, float* c, int64_t c_stride,
                        bool accumulate, Ahead ahead);
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
  BFloat16Tile bfloat16;
  /// Pairs of bfloat16: dst[j / width][k][j % width] = src[2k][j], src[2k + 1][j] for k < pairs;
  /// zeros from `depth` on.
  void (*split_column_pairs)(const uint16_t* src, int64_t stride, int64_t columns, int64_t depth,
                             int64_t pairs, uint32_t* dst, int64_t width);

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

  // ---- the certified screen (sae_screen.cpp). A unit is four digits (bytes) along the depth,
  // those of x unsigned, those of w signed.
  /// Most bits of one digit of x: 8 where four products sum exactly, 7 where pairs of them go
  /// through 16 bits.
  int digit_bits;
  int digit_rows;  // most rows of a tile
  /// Most dimensions to multiply in float32 beside the digits, so that it costs a tenth of the
  /// time: float32 takes four times as long as VNNI, 32 times as long as AMX.
  int most_kept;
  /// x as [rows / 16][units / 16][16 rows][16 units], padded with zeros, not as [units][rows].
  bool digits_in_tiles;
  /// rows x tile_columns of c; w is a panel [units][tile_columns]; units are a multiple of 16.
  /// `next` is a panel to bring nearer meanwhile, or null.
  void (*digit_tile)(int64_t rows, int64_t units, const uint32_t* x, const uint32_t* w,
                     const uint32_t* next, const DigitScales& scales, float* c, int64_t c_stride);
  /// The largest magnitude of values[count]; NaN if one is not finite.
  float (*largest_magnitude)(const float* values, int64_t count);
  /// shifted_integers[i] = values[i] * inverse rounded to an integer, of a magnitude below 2^15,
  /// plus 1.5 * 2^23: its 16 lowest bits are the integer.
  Quantised (*quantise)(const float* values, int64_t count, float inverse, float scale,
                        float* shifted_integers);
  /// Appends (like `above`) every sum whose upper bound is not at or below its limit.
  int64_t (*candidates)(const float* sums, int64_t count, const BoundRow& bound, uint32_t first,
                        uint32_t* indices, float* values);
  /// sums[i] += w . x[tokens[i], :], float32; `next` is the row of w to come, or w itself.
  void (*dot_gathered)(const void* w, const void* next, int32_t dtype, const float* x,
                       int64_t x_stride, const uint32_t* tokens, int64_t count, int64_t depth,
                       float* sums);
};

// null where the architecture has no such instructions
const Microkernels* microkernels_scalar();
const Microkernels* microkernels_avx2();
const Microkernels* microkernels_avx512();
const Microkernels* microkernels_avx512_vnni();
const Microkernels* microkernels_avx512_bf16();
const Microkernels* microkernels_amx();
const Microkernels* microkernels_neon();
const Microkernels* microkernels_neon_dot();

}  // namespace monosem::cpu
