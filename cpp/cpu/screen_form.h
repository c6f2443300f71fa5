#pragma once

// The prepared weights of the certified screen.
//
// For a feature w and a token x (centred: x - mu) the screen computes, in integers, the product of
// w^ = w_scale * digits and x^ = x_scale * digits. What it cannot know is bounded by Cauchy-Schwarz
// with norms that are measured, not assumed, so the bound holds whatever rounding did:
//
//   |w.x - w^.x^|  <=  |w| |x - x^|  +  |w - w^| |x^|  +  accumulation
//
// The few input dimensions with the most energy (the massive activations of a residual stream)
// would dominate every norm. They are left out of the digits and multiplied in float32.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/microkernels.h"
#include "cpu/pack.h"
#include "cpu/scratch.h"

namespace monosem::cpu {

/// Units are padded to so many, as many as an AMX tile is deep.
inline constexpr int64_t kUnitPadding = 16;

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

/// Dimensions that are kept: one in 64, as far as the kernels find it cheap.
inline int64_t kept_dimensions(const monosem_sae_encoder& encoder, const Microkernels& kernels) {
  return std::min<int64_t>(kernels.most_kept, encoder.d_in / 64);
}

/// Chooses the centre and the dimensions to keep from tokens [tokens, d_in], if that was not done
/// or was done with only a few. Which it chooses changes the number of candidates, never what is
/// sound.
void calibrate_screen(const monosem_sae_encoder& encoder, const float* x, int64_t tokens,
                      ScreenForm& form);

}  // namespace monosem::cpu
