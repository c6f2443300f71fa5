#pragma once

// The prepared weights of the certified screen, and tokens in the form it multiplies them with.
//
// For a feature w and a token x (centred: x - mu) the screen computes, in integers, the product of
// w^ = w_scale * digits and x^ = x_scale * digits. What it cannot know is bounded by Cauchy-Schwarz
// with norms that are measured, not assumed, so the bound holds whatever rounding did:
//
//   |w.x - w^.x^|  <=  |w| |x - x^|  +  |w - w^| |x^|  +  accumulation
//
// The few input dimensions with the most energy (the massive activations of a residual stream)
// would dominate every norm. They are left out of the digits and multiplied in float32.

#include <cstdint>
#include <vector>

#include "cpu/microkernels.h"
#include "cpu/pack.h"
#include "cpu/scratch.h"

namespace monosem::cpu {

/// Bounds and limits carry this much relative slack for the rounding of their own evaluation.
inline constexpr double kBoundSlack = 1e-5;

struct ScreenForm {
  const Microkernels* kernels = nullptr;  // what the panels are laid out for
  int64_t width = 0, units = 0;           // columns of a panel; units of four digits, padded to 16
  Memory<uint32_t> panels;                // [panels][units][width]
  // Per feature, padded to whole panels:
  Memory<float> scale;  // of its digits
  Memory<int32_t> sum;  // of its digits
  Memory<float> norm;   // |w|
  Memory<float> error;  // |w - w^| + accumulation: what |x^| is multiplied with

  // From the first tokens seen (calibrate). The first three outlive the rest, so that a form built
  // again is the same.
  int64_t calibrated_tokens = -1;
  std::vector<float> center;  // [d_in] mu
  std::vector<int64_t> kept;  // dimensions multiplied in float32
  Memory<float> kept_panels;  // their weights, [panels][kept][width]
  Memory<float> shift;        // w . mu
  Memory<float> limit;        // a centred sum up to here is certainly inactive (thresholded)

  Operand rows{};         // W_enc with d_in contiguous values per feature, for the refine
  Memory<char> own_rows;  // where W_enc is not stored that way
  uint64_t bytes = 0, row_bytes = 0;  // all but own_rows; own_rows

  /// Gives back all memory but the calibration's.
  void release();
};

/// Bytes that building the form and its calibration take.
uint64_t screen_bytes(const monosem_sae_encoder& encoder, const Microkernels& kernels);

/// Quantises W_enc for the kernels in use. Reads W_enc once; parallel.
void build_screen(const monosem_sae_encoder& encoder, const Microkernels& kernels,
                  ScreenForm& form);

/// Chooses the centre and the dimensions to keep from tokens [tokens, d_in], if that was not done
/// or was done with only a few. Which it chooses changes the number of candidates, never what is
/// sound.
void calibrate_screen(const monosem_sae_encoder& encoder, const float* x, int64_t tokens,
                      ScreenForm& form);

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
