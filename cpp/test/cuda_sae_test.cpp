// The SAE's operators on the CUDA backend against fp64: input, encode, decode.

#include <cmath>
#include <limits>

#include "test/cuda_device.h"
#include "test/sae_case.h"

namespace {

using namespace monosem::test;

constexpr Kind kKinds[] = {Kind::kRelu, Kind::kJumpRelu, Kind::kGated, Kind::kTopK};

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

}  // namespace

TEST(cuda_sae_encode_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(51);
    for (Kind kind : kKinds) {
      for (const auto& [tokens, d_in, d_sae] :
           {std::tuple{0, 5, 9}, {1, 1, 1}, {3, 7, 130}, {17, 48, 65}, {130, 7, 40}}) {
        SaeCase sae(kind, d_in, d_sae, random_float_dtype(random), random);
        RemoteSae remote(sae);
        const std::vector<float> x = random_tokens(tokens, d_in, random);
        monosem_sae_stats stats{};
        HostCsr acts = remote.encode(x, tokens, &stats);
        check_encode(sae, x, tokens, acts.view(),
                     what + " kind " + std::to_string(static_cast<int>(kind)) + ", " +
                         std::to_string(tokens) + " x " + std::to_string(d_in) + " x " +
                         std::to_string(d_sae),
                     4e-6);
        CHECK(stats.tokens == tokens && stats.path[0] != '\0', what);
      }
    }
  });
}
