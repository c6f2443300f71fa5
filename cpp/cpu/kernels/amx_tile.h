#pragma once

// The screen's product on AMX: digits of up to 256 rows of x with one panel of 32 features.
//
// 32 rows at a time, C[32][32] in four 16 x 16 tiles of 32-bit sums: a step multiplies two tiles of
// x (16 rows x 64 digits) with two of w (64 digits x 16 features). Four products keep the unit busy
// for 64 cycles, four loads its ports for 32, so the second-level cache, where x and w lie, decides
// how near one gets to its peak. While the unit works, the core has time for two things:
//  - to fetch the next panel: w comes from memory, once for all rows of the tile.
//  - to turn the last 32 rows of sums into floats.
//
// What is particular to the hardware sits behind `Tiles`: microkernels_amx.cpp runs it on the unit,
// the tests on ModelTiles below, so that layout and edges are exercised where there is no AMX.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cpu/microkernels.h"

namespace monosem::cpu {

constexpr int kAmxRows = 256, kAmxColumns = 32;
constexpr int kAmxGroup = 32;     // rows that are multiplied together
constexpr int kAmxTileRows = 16;  // also the units of a row
constexpr int kAmxTileUnits = 256;

/// One row of C: c += x_scale * w_scale * (sums - bias * w_sum), rounded as the kernels in vector
/// registers round it. Inline, so that it is compiled with the instructions of whoever uses it.
[[gnu::always_inline]] inline void add_scaled_sums(const int32_t* sums, const int32_t* bias,
                                                   const float* w_scale, float x_scale, float* c) {
  for (int j = 0; j < kAmxColumns; ++j)
    c[j] = __builtin_fmaf(static_cast<float>(sums[j] - bias[j]), x_scale * w_scale[j], c[j]);
}

/// x is [rows / 16][units / 16][16 rows][16 units], zeros where rows are missing: every load of a
/// tile is 1 KB without a gap, however long the rows.
template <class Tiles>
void amx_digit_tile(int64_t rows, int64_t units, const uint32_t* x, const uint32_t* w,
                    const uint32_t* next, const DigitScales& scales, float* c, int64_t c_stride) {
  alignas(64) int32_t sums[2][kAmxGroup][kAmxColumns];
  alignas(64) int32_t bias[kAmxColumns];
  for (int j = 0; j < kAmxColumns; ++j) bias[j] = scales.bias * scales.w_sum[j];

  constexpr int64_t kLineUnits = 16, kSumBytes = kAmxColumns * 4, kWeightBytes = kAmxColumns * 4;
  const int64_t steps = units / kAmxTileRows, groups = (rows + kAmxGroup - 1) / kAmxGroup;
  const int64_t step_lines = (kAmxColumns + groups - 1) / groups;
  const int64_t step_rows = (kAmxGroup + steps - 1) / steps;
  const uint32_t* const next_end = next == nullptr ? nullptr : next + units * kAmxColumns;

  int64_t finished = 0;
  const auto finish = [&](int64_t end) {
    for (; finished < end; ++finished)
      Tiles::add_scaled(sums[finished / kAmxGroup % 2][finished % kAmxGroup], bias, scales.w_scale,
                        scales.x_scale[finished], c + finished * c_stride);
  };
  Tiles tiles;
  for (int64_t row = 0; row < rows; row += kAmxGroup) {
    // 0-3: sums of (upper, left), (upper, right), (lower, left), (lower, right). 4, 5: x. 6, 7: w.
    const bool lower = rows - row > kAmxTileRows;
    const uint32_t *upper_x = x + row * units, *lower_x = upper_x + kAmxTileRows * units;
    tiles.template zero<0>();
    tiles.template zero<1>();
    tiles.template zero<2>();
    tiles.template zero<3>();
    for (int64_t step = 0; step < steps; ++step) {
      const uint32_t* step_w = w + step * kAmxTileRows * kAmxColumns;
      tiles.template load<4>(upper_x + step * kAmxTileUnits, 64);
      tiles.template load<6>(step_w, kWeightBytes);
      tiles.template multiply<0, 4, 6>();
      tiles.template load<7>(step_w + kAmxTileRows, kWeightBytes);
      tiles.template multiply<1, 4, 7>();
      if (lower) {
        tiles.template load<5>(lower_x + step * kAmxTileUnits, 64);
        tiles.template multiply<2, 5, 6>();
        tiles.template multiply<3, 5, 7>();
      }
      for (int64_t line = 0; line < step_lines && next < next_end; ++line, next += kLineUnits)
        __builtin_prefetch(next, 0, 2);
      finish(std::min(row, finished + step_rows));
    }
    auto& group = sums[row / kAmxGroup % 2];
    tiles.template store<0>(&group[0][0], kSumBytes);
    tiles.template store<1>(&group[0][kAmxTileRows], kSumBytes);
    tiles.template store<2>(&group[kAmxTileRows][0], kSumBytes);
    tiles.template store<3>(&group[kAmxTileRows][kAmxTileRows], kSumBytes);
  }
  finish(rows);
}

/// The tiles in plain C++, as the manual defines them: eight of 16 rows of 64 bytes.
class ModelTiles {
 public:
  template <int kTile>
  void zero() {
    std::memset(bytes_[kTile], 0, sizeof bytes_[kTile]);
  }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    for (int row = 0; row < 16; ++row)
      std::memcpy(bytes_[kTile][row], static_cast<const char*>(from) + row * stride, 64);
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    for (int row = 0; row < 16; ++row)
      std::memcpy(static_cast<char*>(to) + row * stride, bytes_[kTile][row], 64);
  }
  /// Unsigned bytes of x times signed bytes of w, four per 32-bit sum.
  template <int kSum, int kX, int kW>
  void multiply() {
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        int32_t sum;
        std::memcpy(&sum, &bytes_[kSum][m][4 * n], 4);
        for (int k = 0; k < 64; ++k)
          sum += bytes_[kX][m][k] * static_cast<int8_t>(bytes_[kW][k / 4][4 * n + k % 4]);
        std::memcpy(&bytes_[kSum][m][4 * n], &sum, 4);
      }
  }
  static void add_scaled(const int32_t* sums, const int32_t* bias, const float* w_scale,
                         float x_scale, float* c) {
    add_scaled_sums(sums, bias, w_scale, x_scale, c);
  }

 private:
  uint8_t bytes_[8][16][64] = {};
};

}  // namespace monosem::cpu
