#pragma once

#include <functional>

#include "cpu/sae_plan.h"

namespace monosem::cpu {

/// Whether the screen is worth trying for so many tokens of this SAE on these kernels.
bool screen_pays(const monosem_sae_encoder& encoder, int64_t tokens);

/// Encode by screen and refine (float32 blocks where the screen turns out not to pay). `poll` is
/// called between blocks and may throw. False: memory is too short for the screen's form, nothing
/// was done.
bool encode_screened(EncoderPlan& plan, const float* x, int64_t tokens, int32_t precision,
                     const std::function<void()>& poll, monosem_csr& out, monosem_sae_stats& stats);

}  // namespace monosem::cpu
