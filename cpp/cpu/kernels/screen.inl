// Loops of the certified screen for one instruction set. Included like gemm.inl, after sae.inl.

/// One register tile of digits: every step multiplies four bytes of x with four of w per lane and
/// adds them in 32-bit integers, which is exact. c += x_scale * w_scale * (sum - bias * w_sum).
template <int kRows, int kVectors>
void digit_tile_of(int64_t units, const uint32_t* x, const uint32_t* w, const DigitScales& scales,
                   float* c, int64_t c_stride) {
  using Int = Simd::Int;
  constexpr int kLanes = Simd::kLanes, kColumns = kVectors * kLanes;
  Int sum[kRows][kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) {
    const Int start = Simd::start(scales.w_sum + j * kLanes, scales.bias);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) sum[i][j] = start;
  }
  for (int64_t k = 0; k < units; ++k) {
    Int row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      row[j] = Simd::load_digits(w + j * kLanes);
      if (j * kLanes % 16 == 0) __builtin_prefetch(w + 16 * kColumns + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Int value = Simd::broadcast_digits(x[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Simd::dot4(sum[i][j], value, row[j]);
    }
    x += kRows;
    w += kColumns;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      const Simd::Float scale =
          Simd::mul(Simd::broadcast(scales.x_scale[i]), Simd::load(scales.w_scale + j * kLanes));
      float* to = c + i * c_stride + j * kLanes;
      Simd::store(to, Simd::fma(Simd::to_float(sum[i][j]), scale, Simd::load(to)));
    }
}

using FixedDigitTile = void (*)(int64_t, const uint32_t*, const uint32_t*, const DigitScales&,
                                float*, int64_t);

template <int kRows, int kVectors>
constexpr void fill_digit_tiles(FixedDigitTile* tiles) {
  tiles[kRows - 1] = digit_tile_of<kRows, kVectors>;
  if constexpr (kRows > 1) fill_digit_tiles<kRows - 1, kVectors>(tiles);
}

template <int kRows, int kVectors>
struct DigitTiles {
  FixedDigitTile tile[kRows];
  constexpr DigitTiles() : tile() { fill_digit_tiles<kRows, kVectors>(tile); }
};

template <int kRows, int kVectors>
void digit_tile(int64_t rows, int64_t units, const uint32_t* x, const uint32_t* w,
                const uint32_t* /*next*/, const DigitScales& scales, float* c, int64_t c_stride) {
  static constexpr DigitTiles<kRows, kVectors> tiles;
  tiles.tile[rows - 1](units, x, w, scales, c, c_stride);
}
