#pragma once

// The screen's product on AMX: C[32 tokens][32 features] in four 16 x 16 tiles of 32-bit sums, two
// tiles of x (16 tokens x 64 digits) against two of w (64 digits x 16 features), 16 units of depth
// a step.
//
// What is particular to the hardware sits behind `Tiles`: microkernels_amx.cpp runs it on the unit,
// the tests on ModelTiles below, so that layout and edges are exercised where there is no AMX.

#include <cstdint>
#include <cstring>

#include "cpu/microkernels.h"

namespace monosem::cpu {

/// The operand of ldtilecfg: palette 1, and per tile its bytes per row and its rows.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

constexpr int kAmxRows = 32, kAmxColumns = 32, kAmxUnits = 16;

template <class Tiles>
void amx_digit_tile(int64_t rows, int64_t units, const uint32_t* x, const uint32_t* w,
                    const DigitScales& scales, float* c, int64_t c_stride) {
  const int upper = static_cast<int>(rows < 16 ? rows : 16), lower = static_cast<int>(rows) - upper;
  TileConfig config;
  // 0-3: sums of (upper, left), (upper, right), (lower, left), (lower, right). 4, 5: x. 6, 7: w.
  const int heights[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
  for (int tile = 0; tile < 8; ++tile) {
    // A tile of no rows must be left out of the configuration altogether.
    config.rows[tile] = static_cast<uint8_t>(heights[tile]);
    config.row_bytes[tile] = heights[tile] == 0 ? 0 : 64;
  }
  alignas(64) int32_t sums[kAmxRows][kAmxColumns];
  const int64_t x_bytes = units * 4, w_bytes = kAmxColumns * 4;
  Tiles tiles(config);
  tiles.template zero<0>();
  tiles.template zero<1>();
  if (lower > 0) {
    tiles.template zero<2>();
    tiles.template zero<3>();
  }
  for (int64_t k = 0; k < units; k += kAmxUnits) {
    tiles.template load<4>(x + k, x_bytes);
    tiles.template load<6>(w + k * kAmxColumns, w_bytes);
    tiles.template load<7>(w + k * kAmxColumns + 16, w_bytes);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    if (lower > 0) {
      tiles.template load<5>(x + 16 * units + k, x_bytes);
      tiles.template multiply<2, 5, 6>();
      tiles.template multiply<3, 5, 7>();
    }
  }
  tiles.template store<0>(&sums[0][0], w_bytes);
  tiles.template store<1>(&sums[0][16], w_bytes);
  if (lower > 0) {
    tiles.template store<2>(&sums[16][0], w_bytes);
    tiles.template store<3>(&sums[16][16], w_bytes);
  }
  Tiles::add_scaled(rows, &sums[0][0], scales, c, c_stride);
}

/// c += x_scale * w_scale * (sums - bias * w_sum) for rows x 32 sums. Inline, so that it is
/// compiled with the instructions of whoever uses it.
[[gnu::always_inline]] inline void add_scaled_sums(int64_t rows, const int32_t* sums,
                                                   const DigitScales& scales, float* c,
                                                   int64_t c_stride) {
  for (int64_t i = 0; i < rows; ++i)
    for (int j = 0; j < kAmxColumns; ++j) {
      const int32_t sum = sums[i * kAmxColumns + j] - scales.bias * scales.w_sum[j];
      c[i * c_stride + j] += static_cast<float>(sum) * (scales.x_scale[i] * scales.w_scale[j]);
    }
}

/// The tiles in plain C++, as the manual defines them; touching what the configuration leaves out
/// is an error there and an assertion of the tests here.
class ModelTiles {
 public:
  explicit ModelTiles(const TileConfig& config) : config_(config) {}

  template <int kTile>
  void zero() {
    std::memset(bytes_[kTile], 0, sizeof bytes_[kTile]);
  }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    for (int row = 0; row < config_.rows[kTile]; ++row)
      std::memcpy(bytes_[kTile][row], static_cast<const char*>(from) + row * stride,
                  config_.row_bytes[kTile]);
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    for (int row = 0; row < config_.rows[kTile]; ++row)
      std::memcpy(static_cast<char*>(to) + row * stride, bytes_[kTile][row],
                  config_.row_bytes[kTile]);
  }
  /// Unsigned bytes of x times signed bytes of w, four per 32-bit sum.
  template <int kSum, int kX, int kW>
  void multiply() {
    for (int m = 0; m < config_.rows[kSum]; ++m)
      for (int n = 0; n < config_.row_bytes[kSum] / 4; ++n) {
        int32_t sum;
        std::memcpy(&sum, &bytes_[kSum][m][4 * n], 4);
        for (int k = 0; k < config_.row_bytes[kX]; ++k)
          sum += bytes_[kX][m][k] * static_cast<int8_t>(bytes_[kW][k / 4][4 * n + k % 4]);
        std::memcpy(&bytes_[kSum][m][4 * n], &sum, 4);
      }
  }
  static void add_scaled(int64_t rows, const int32_t* sums, const DigitScales& scales, float* c,
                         int64_t c_stride) {
    add_scaled_sums(rows, sums, scales, c, c_stride);
  }

 private:
  TileConfig config_;
  uint8_t bytes_[8][16][64] = {};
};

}  // namespace monosem::cpu
