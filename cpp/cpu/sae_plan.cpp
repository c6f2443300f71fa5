#include "cpu/sae_plan.h"

#include <algorithm>

#include "core/thread_pool.h"
#include "cpu/isa.h"

namespace monosem::cpu {

Operand encoder_operand(const monosem_sae_encoder& encoder) {
  const View& w = encoder.w_enc;
  return {w.data, w.dtype, w.stride[1], w.stride[0]};
}

void pack_features(const monosem_sae_encoder& e, const Microkernels& kernels, int64_t first,
                   int64_t count, float* to) {
  const int64_t width = kernels.tile_columns, lanes = std::min(count, e.d_sae - first);
  const int64_t whole = lanes / width * width;
  if (whole < lanes) std::fill_n(to + whole * e.d_in, width * e.d_in, 0.0f);
  pack_panels(kernels, encoder_operand(e).at(first, 0), lanes, e.d_in, to, width);
}

const float* PanelsUse::get() {
  const Microkernels& kernels = microkernels();
  if (!use_.has_value()) {
    const monosem_sae_encoder& e = plan_.encoder;
    const int64_t width = kernels.tile_columns, panels = (e.d_sae + width - 1) / width;
    const uint64_t bytes = static_cast<uint64_t>(panels * width * e.d_in) * sizeof(float);
    const bool pays = tokens_ > kBlockTokens;  // packed for one block they cost as much as for all
    use_.emplace(
        plan_.panels_form,
        FormUse::Building{[&] { return plan_.panels.width == width ? 0 : bytes; },
                          [&] {
                            if (plan_.panels.width != width) {
                              plan_.panels = {Memory<float>(panels * width * e.d_in + 16), width};
                              ThreadPool::instance().run(
                                  panels, 1, [&](int64_t begin, int64_t end, int) {
                                    pack_features(e, kernels, begin * width, (end - begin) * width,
                                                  plan_.panels.data.get() + begin * width * e.d_in);
                                  });
                            }
                            return monosem_sae_forms{bytes, 0, 0, 0};
                          },
                          pays});
  }
  return *use_ ? plan_.panels.data.get() : nullptr;
}

EncoderPlan* sae_plan(const monosem_sae_encoder& encoder) {
  return std::make_unique<EncoderPlan>(encoder).release();
}

void sae_plan_free(EncoderPlan* plan) noexcept { const std::unique_ptr<EncoderPlan> owner(plan); }

monosem_sae_forms sae_plan_forms(const EncoderPlan& plan) noexcept {
  const monosem_sae_forms panels = plan.panels_form.held(), screen = plan.screen_form.held();
  return {panels.float32_panels, screen.screen, screen.rows, 0};
}

}  // namespace monosem::cpu
