#include "cpu/sae_plan.h"

#include <algorithm>

#include "core/thread_pool.h"

namespace monosem::cpu {

Operand encoder_operand(const monosem_sae_encoder& encoder) {
  const View& w = encoder.w_enc;
  return {w.data, w.dtype, w.stride[1], w.stride[0]};
}

const float* encoder_panels(monosem_sae_plan& plan, const Microkernels& kernels) {
  const monosem_sae_encoder& e = plan.encoder;
  const int64_t width = kernels.tile_columns, count = (e.d_sae + width - 1) / width;
  if (plan.panels.width != width) {
    plan.panels = {Memory<float>(count * width * e.d_in), width,
                   static_cast<uint64_t>(count * width * e.d_in) * sizeof(float)};
    const Operand w = encoder_operand(e);
    ThreadPool::instance().run(count, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t first = panel * width, lanes = std::min(width, e.d_sae - first);
        float* to = plan.panels.data.get() + first * e.d_in;
        if (lanes < width) std::fill_n(to, width * e.d_in, 0.0f);
        pack_panels(kernels, w.at(first, 0), lanes, e.d_in, to, width);
      }
    });
  }
  return plan.panels.data.get();
}

monosem_sae_plan* sae_plan(const monosem_sae_encoder& encoder) {
  return std::make_unique<monosem_sae_plan>(monosem_sae_plan{encoder, {}, {}}).release();
}

void sae_plan_free(monosem_sae_plan* plan) noexcept {
  const std::unique_ptr<monosem_sae_plan> owner(plan);
}

monosem_sae_forms sae_plan_forms(const monosem_sae_plan& plan) noexcept {
  return {plan.panels.bytes, plan.screen.bytes, plan.screen.row_bytes, 0};
}

}  // namespace monosem::cpu
