#pragma once

// Tokens in the form that the screen multiplies with its panels (screen_form.h), and that product.

#include <vector>

#include "cpu/screen_form.h"

namespace monosem::cpu {

/// A block of tokens as digits: one of 8 bits, q = digit - 128, or two of 7 bits,
/// q = 128 (high - 64) + (low - 64). Both digits of a panel's tokens are rows of one tile, so that
/// the weights are read once: first the high ones, then the low.
struct ScreenTokens {
  int64_t tokens, panels;
  int digits;
  int64_t panel_units;         // of one panel in `units`
  Memory<uint32_t> units;      // per panel [units][rows * digits], or tiles (digits_in_tiles)
  std::vector<float> scale;    // per panel [rows * digits]
  Memory<float> kept;          // per float32 tile [kept][rows]
  std::vector<float> by_norm;  // [tokens], see BoundRow
  std::vector<float> by_error;
  int64_t token_of(int64_t panel) const { return panel * tokens / panels; }
};
ScreenTokens quantise_tokens(const ScreenForm& form, int64_t d_in, const float* x, int64_t tokens,
                             int digits);

/// Estimated centred sums of one panel of tokens with one panel of features: c[rows][width].
/// `next_panel` of features is the one to be multiplied next, or negative.
void screen_tile(const ScreenForm& form, const ScreenTokens& tokens, int64_t token_panel,
                 int64_t feature_panel, int64_t next_panel, float* c, int64_t c_stride);

}  // namespace monosem::cpu
