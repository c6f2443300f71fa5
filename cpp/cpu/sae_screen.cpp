// The certified screen: an encode keeps 0.1 - 1 % of its outputs, so cheap integer products prove
// which cannot be kept, and float32 is spent on the rest. This file decides how; screen_form.cpp
// has the bound, screen_block.cpp the work.

#include "cpu/sae_screen.h"

#include <algorithm>

#include "cpu/isa.h"
#include "cpu/screen_block.h"

namespace monosem::cpu {
namespace {

// Below these the fused float32 kernel is done before a screen has begun.
constexpr int64_t kLeastFeatures = 1024, kLeastInputs = 128;
// Up to here an encode waits for its weights: digits of 14 bits cost nothing and a quarter of the
// bytes of float32 are read.
constexpr int64_t kMemoryBound = 8;
// Share of all pairs above which finer digits pay, and above which, with those, float32 does.
constexpr double kFewCandidates = 0.05, kMostCandidates = 0.10;

}  // namespace

bool screen_pays(const monosem_sae_encoder& e, int64_t tokens) {
  if (tokens == 0 || e.d_sae < kLeastFeatures || e.d_in < kLeastInputs) return false;
  // Products of 7-bit digits are no faster than float32: they pay where the bytes count.
  return microkernels().digit_bits == 8 || tokens <= kMemoryBound;
}

bool encode_screened(EncoderPlan& plan, const float* x, int64_t tokens, int32_t precision,
                     const std::function<void()>& poll, monosem_csr& out,
                     monosem_sae_stats& stats) {
  const monosem_sae_encoder& e = plan.encoder;
  const Microkernels& kernels = microkernels();
  const FormUse screen_use(
      plan.screen_form,
      {[&] { return plan.screen.kernels == &kernels ? 0 : screen_bytes(e, kernels); },
       [&] {
         if (plan.screen.kernels != &kernels) build_screen(e, kernels, plan.screen);
         calibrate_screen(e, x, std::min(tokens, kBlockTokens), plan.screen);
         return monosem_sae_forms{0, plan.screen.bytes, plan.screen.row_bytes, 0};
       },
       tokens >= kBlockTokens});
  if (!screen_use) return false;
  PanelsUse panels(plan, tokens);

  int digits = tokens <= kMemoryBound || kernels.digit_bits < 8 ? 2 : 1;
  bool screening = true;
  int64_t screened = 0;
  ScreenCounts counts;
  std::vector<TokenBlock> blocks;
  const int64_t block_tokens = tokens_per_block(e);
  for (int64_t token = 0; token < tokens; token += block_tokens) {
    poll();
    const int64_t count = std::min(block_tokens, tokens - token);
    const float* from = x + token * e.d_in;
    const double pairs = static_cast<double>(count) * static_cast<double>(e.d_sae);
    const auto screen = e.k > 0 ? screen_top_k : screen_threshold;
    TokenBlock block;
    while (screening && block.pieces.empty()) {
      const double share = digits == 1 ? kFewCandidates : kMostCandidates;
      ScreenCounts found;
      if (screen(plan, from, count, digits, precision, static_cast<int64_t>(pairs * share), block,
                 found)) {
        screened += count;
        counts.add(found);
      } else if (digits == 1) {
        digits = 2;
      } else {
        screening = false;
      }
    }
    if (block.pieces.empty()) block = encode_block_float32(e, panels, from, count);
    blocks.push_back(std::move(block));
  }
  merge_hits(blocks, tokens, e.d_sae, out);

  const double active = static_cast<double>(out.nnz) / static_cast<double>(tokens);
  const double pairs = static_cast<double>(std::max<int64_t>(1, screened));
  const char* path = screened == 0       ? "float32 fused: too many candidates"
                     : screened < tokens ? "screen + refine, then float32: too many candidates"
                     : kernels.digits_in_tiles ? "amx int8 screen + refine"
                     : digits == 2             ? "int8 x 14-bit screen + refine"
                                               : "int8 screen + refine";
  stats = {path,
           screened == 0 ? active : static_cast<double>(counts.candidates) / pairs,
           active,
           counts.candidates == 0
               ? 0.0
               : static_cast<double>(counts.ambiguous) / static_cast<double>(counts.candidates),
           counts.error_to_margin,
           static_cast<double>(tokens)};
  return true;
}

}  // namespace monosem::cpu
