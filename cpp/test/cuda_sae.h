#pragma once

#include "test/cuda_device.h"
#include "test/sae_case.h"

namespace monosem::test {

/// A SaeCase on the device, with its plan.
struct RemoteSae {
  explicit RemoteSae(SaeCase& sae)
      : w(sae.w), gate_bias(sae.gate_bias), theta(sae.theta), scale(sae.scale), bias(sae.bias) {
    monosem_sae_encoder encoder = sae.encoder();
    encoder.w_enc = w.view;
    encoder.gate_bias = gate_bias.floats();
    encoder.theta = theta.floats();
    encoder.scale = sae.has_scale ? scale.floats() : nullptr;
    encoder.bias = bias.floats();
    encoder.center = nullptr;
    ok(cuda_table().sae_plan(cuda_handle(), &encoder, &plan));
  }
  ~RemoteSae() { cuda_table().sae_plan_free(cuda_handle(), plan); }

  HostCsr encode(const std::vector<float>& x, int64_t tokens, monosem_sae_stats* stats = nullptr) {
    const Remote input(x);
    monosem_csr out{};
    monosem_sae_stats ignored{};
    ok(cuda_table().sae_encode(cuda_handle(), plan, input.floats(), tokens, MONOSEM_STRICT, nullptr,
                               nullptr, &out, stats == nullptr ? &ignored : stats));
    return HostCsr(out);
  }

  RemoteView w;
  Remote gate_bias, theta, scale, bias;
  monosem_sae_plan* plan = nullptr;
};

}  // namespace monosem::test
