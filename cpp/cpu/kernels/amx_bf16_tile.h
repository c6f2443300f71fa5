#pragma once

// The product of two bfloat16 matrices on AMX: up to 256 rows of a with one panel of 32 columns of
// b, 32 rows at a time: C[32][32] in four tiles of float32 sums, as in amx_tile.h. A step
// multiplies 32 values of depth. The panel of b, 32 KB when full, stays in the first-level cache
// over all rows, so that the second-level one has only a to deliver: 2 KB in the 64 cycles of a
// step.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/half.h"
#include "cpu/kernels/amx_tile.h"
#include "cpu/microkernels.h"

namespace monosem::cpu {

constexpr int kAmxMostPairs = 256;

/// BFloat16Tile::multiply, with rows_in_tiles.
template <class Tiles>
void amx_bfloat16_tile(int64_t rows, int64_t pairs, const uint32_t* a, const uint32_t* b, float* c,
                       int64_t c_stride, bool accumulate) {
  constexpr int64_t kPanelBytes = kAmxColumns * 4;
  alignas(64) float edge[kAmxGroup][kAmxColumns];
  Tiles tiles;
  for (int64_t row = 0; row < rows; row += kAmxGroup) {
    // 0-3: sums of (upper, left), (upper, right), (lower, left), (lower, right). 4, 5: a. 6, 7: b.
    const int64_t height = std::min<int64_t>(kAmxGroup, rows - row);
    const bool lower = height > kAmxTileRows, whole = height == kAmxGroup;
    // Tiles are whole: rows that c does not have are computed aside.
    float* const target = c + row * c_stride;
    float* const sums = whole ? target : &edge[0][0];
    const int64_t stride = whole ? c_stride : kAmxColumns;
    float* const lower_sums = sums + kAmxTileRows * stride;
    if (accumulate) {
      if (!whole)
        for (int64_t i = 0; i < height; ++i)
          std::copy_n(target + i * c_stride, kAmxColumns, edge[i]);
      tiles.template load<0>(sums, 4 * stride);
      tiles.template load<1>(sums + 16, 4 * stride);
      if (lower) {
        tiles.template load<2>(lower_sums, 4 * stride);
        tiles.template load<3>(lower_sums + 16, 4 * stride);
      }
    } else {
      tiles.template zero<0>();
      tiles.template zero<1>();
      tiles.template zero<2>();
      tiles.template zero<3>();
    }
    const uint32_t *upper_a = a + row * pairs, *lower_a = upper_a + kAmxTileRows * pairs;
    for (int64_t k = 0; k < pairs; k += kAmxTileRows) {
      const uint32_t* step_b = b + k * kAmxColumns;
      tiles.template load<4>(upper_a + k * kAmxTileRows, 64);
      tiles.template load<6>(step_b, kPanelBytes);
      tiles.template multiply<0, 4, 6>();
      tiles.template load<7>(step_b + 16, kPanelBytes);
      tiles.template multiply<1, 4, 7>();
      if (lower) {
        tiles.template load<5>(lower_a + k * kAmxTileRows, 64);
        tiles.template multiply<2, 5, 6>();
        tiles.template multiply<3, 5, 7>();
      }
    }
    tiles.template store<0>(sums, 4 * stride);
    tiles.template store<1>(sums + 16, 4 * stride);
    if (lower) {
      tiles.template store<2>(lower_sums, 4 * stride);
      tiles.template store<3>(lower_sums + 16, 4 * stride);
    }
    if (!whole)
      for (int64_t i = 0; i < height; ++i) std::copy_n(edge[i], kAmxColumns, target + i * c_stride);
  }
}

/// Pairs of bfloat16 as tdpbf16ps multiplies them: the 16 products of either half of the pairs are
/// summed from zero, then both sums together and into the tile; what is subnormal counts as zero.
class BFloat16ModelTiles : public ModelTiles {
 public:
  template <int kSum, int kA, int kB>
  void multiply() {
    float sums[16][16];
    uint16_t a[16][32], b[16][32];
    store<kSum>(sums, 64);
    store<kA>(a, 64);
    store<kB>(b, 64);
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        float halves[2] = {};
        for (int k = 0; k < 32; ++k) {
          float& half = halves[k % 2];
          half = flushed(std::fma(value(a[m][k]), value(b[k / 2][2 * n + k % 2]), half));
        }
        sums[m][n] = flushed(flushed(sums[m][n]) + flushed(halves[0] + halves[1]));
      }
    load<kSum>(sums, 64);
  }

 private:
  static float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? 0.0f : x; }
  static float value(uint16_t bits) { return flushed(from_bfloat16(bits)); }
};

}  // namespace monosem::cpu
