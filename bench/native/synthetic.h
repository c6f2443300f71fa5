#pragma once

// An SAE and inputs that look like a residual stream, as in bench/data.mjs: unit directions in
// superposition, each token the sum of `active` of them with positive strengths on a common offset.
// What a sparse encoder costs depends on its data.

#include <cstdint>
#include <vector>

#include "cpu/scratch.h"

namespace monosem::bench {

struct SyntheticSae {
  int64_t d_in, d_sae, active;
  cpu::Memory<float> w_enc;   // [d_in, d_sae]
  cpu::Memory<float> w_dec;   // [d_sae, d_in], its transpose
  std::vector<float> offset;  // [d_in]
  std::vector<float> bias;    // [d_sae], leaves about `active` features per token positive

  SyntheticSae(int64_t d_in, int64_t d_sae, int64_t active);
  /// x [tokens, d_in]
  cpu::Memory<float> tokens(int64_t tokens, uint64_t seed) const;
};

/// Normal numbers times `scale`.
cpu::Memory<float> normals(int64_t count, double scale, uint64_t seed);

}  // namespace monosem::bench
