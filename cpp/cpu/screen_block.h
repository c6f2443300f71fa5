#pragma once

// One block of tokens through the screen: which pairs of token and feature may be active, and what
// float32 says about them.

#include <vector>

#include "cpu/sae_plan.h"
#include "cpu/screen_tokens.h"

namespace monosem::cpu {

Pieces cut_features(const ScreenForm& form, int64_t d_sae);

/// Every eighth piece is a sample of the features: what they show decides how the rest is done. It
/// depends on the data alone, so a call takes the same path whenever it is repeated.
enum class Part { kSample, kRest };

/// Estimated centred sums of all pairs of a part, pieces in parallel, tokens ascending within a
/// piece.
void estimate(const ScreenForm& form, const ScreenTokens& tokens, int64_t d_sae,
              const Pieces& pieces, Part part, const Epilogue& epilogue);

/// The bound of one token, without its vectors; 0 where the precision asks for estimates only (but
/// NaN stays, and 0 times a norm that is not finite is NaN: such pairs are always candidates).
BoundRow bound_of(const ScreenTokens& tokens, int64_t token, int32_t precision);

/// Pairs that the bound could not rule out, by ascending token, then feature.
struct Candidates {
  std::vector<uint32_t> tokens, features;
  std::vector<float> sums;  // the screen's estimate of the centred sum, later what replaces it
  int64_t used = 0;

  void reserve(int64_t count);  // room for as many more, and 16
};

/// What an encode counts along the way.
struct ScreenCounts {
  int64_t candidates = 0, ambiguous = 0;
  double error_to_margin = 0;

  void add(const ScreenCounts& other);
};

/// x . w in float32 for every pair whose place is listed, written to sums[place]. Pairs are taken
/// by feature, so that its row is read once; the rows of x stream from the second-level cache or
/// beyond, and that is what a refine costs. (Slicing the depth so that x stays nearer does not
/// help.)
void refine(const ScreenForm& form, int64_t d_in, const float* x, const Candidates& pairs,
            const std::vector<uint32_t>& places, std::vector<float>& sums);

/// Thresholded architectures. False: more than `most` candidates, nothing was done.
bool screen_threshold(EncoderPlan& plan, const float* x, int64_t tokens, int digits,
                      int32_t precision, int64_t most, TokenBlock& block, ScreenCounts& counts);
/// Top k.
bool screen_top_k(EncoderPlan& plan, const float* x, int64_t tokens, int digits, int32_t precision,
                  int64_t most, TokenBlock& block, ScreenCounts& counts);

}  // namespace monosem::cpu
