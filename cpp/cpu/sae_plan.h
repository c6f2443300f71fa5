#pragma once

// The prepared forms of one SAE's encoder, and the pieces every encode path is made of.

#include <cstdint>
#include <vector>

#include "cpu/microkernels.h"
#include "cpu/pack.h"
#include "cpu/scratch.h"

/// Forms are built on first need, by the call that needs them, and live as long as the plan.
struct monosem_sae_plan {
  monosem_sae_encoder encoder;

  /// W_enc in float32 panels of `width` features, [panels][d_in][width], padded with zeros: what
  /// the fused kernel streams.
  struct Panels {
    monosem::cpu::Memory<float> data;
    int64_t width = 0;
    uint64_t bytes = 0;
  } panels;
};

namespace monosem::cpu {

/// W_enc with features as lanes.
Operand encoder_operand(const monosem_sae_encoder& encoder);

/// The panels for the kernels in use, built in parallel if they are not there.
const float* encoder_panels(monosem_sae_plan& plan, const Microkernels& kernels);

/// Active features of a range of features over a block of tokens, in CSR order.
struct Hits {
  std::vector<uint32_t> indices;
  std::vector<float> values;
  std::vector<uint32_t> offsets;  // [tokens + 1]
  int64_t used = 0;

  void start(int64_t tokens);
  /// Room for `count` more entries and the 16 a kernel may write beyond.
  void reserve(int64_t count);
  void end_token() { offsets.push_back(static_cast<uint32_t>(used)); }
};

/// The hits of a block of tokens: its pieces cover ascending ranges of features.
struct TokenBlock {
  int64_t tokens;
  std::vector<Hits> pieces;
};

/// One CSR from blocks of consecutive tokens.
void merge_hits(const std::vector<TokenBlock>& blocks, int64_t tokens, int64_t d_sae,
                monosem_csr& out);

/// Appends the k largest scores above 0 as one token: NaN counts as largest, ties go to the lowest
/// index. (Selection comes before the relu, so scores <= 0 of the top k are dropped anyway.)
void append_top_k(const Microkernels& kernels, const float* scores, int64_t count, int64_t k,
                  Hits& hits);

}  // namespace monosem::cpu
