// The prepared form of an encoder's weights.

#include "sae_plan.cuh"

#include <memory>

#include "operators.cuh"

namespace {

int64_t plane_size(const monosem_sae_encoder& encoder) {
  return encoder.d_sae * monosem::cuda::padded_depth(encoder.d_in);
}

}  // namespace

monosem_sae_plan::monosem_sae_plan(monosem_device& device, const monosem_sae_encoder& encoder_)
    : encoder(encoder_),
      split(encoder_.w_enc.dtype == MONOSEM_FLOAT32),
      high(device, plane_size(encoder_)),
      low(device, split ? plane_size(encoder_) : 0),
      scale(device, encoder_.d_sae) {
  monosem_view features = encoder.w_enc;
  std::swap(features.shape[0], features.shape[1]);
  std::swap(features.stride[0], features.stride[1]);
  monosem::cuda::split_rows(device, features,
                            {high.get(), split ? low.get() : nullptr, scale.get(), nullptr});
}

namespace monosem::cuda {

void sae_plan(Device& device, const monosem_sae_encoder* encoder, monosem_sae_plan** out) {
  *out = std::make_unique<monosem_sae_plan>(device, *encoder).release();
}

void sae_plan_free(Device&, monosem_sae_plan* plan) {
  std::unique_ptr<monosem_sae_plan>{plan}.reset();
}

void sae_plan_forms(const monosem_sae_plan* plan, monosem_sae_forms* out) {
  const auto planes = static_cast<uint64_t>(plane_size(plan->encoder));
  *out = {};
  out->float16_planes = planes * (plan->split ? 4 : 2) + sizeof(float) * plan->encoder.d_sae;
}

}  // namespace monosem::cuda
