#pragma once

// One random encoder and its tokens for the soak: any scene, shape, architecture and storage, with
// thresholds next to real pre-activations.

#include <cmath>
#include <limits>
#include <vector>

#include "test/screen_data.h"
#include "test/truth.h"

namespace monosem::test {

inline double dot(const float* a, const float* b, int64_t count) {
  double parts[4] = {};
  for (int64_t i = 0; i < count; ++i) parts[i % 4] += static_cast<double>(a[i]) * b[i];
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

struct SoakShape {
  int64_t d_in, d_sae, tokens;
};

/// Of twenty in turn most are small, so that there are many; the others reach the ends of what SAEs
/// are: 262,144 features, 4096 tokens, the width of a model.
inline SoakShape soak_shape(int64_t round, Random& random) {
  switch (round % 20) {
    case 9:
      return {random.integer(128, 160), random.integer(65536, 262144), random.integer(1, 60)};
    case 13:
      return {random.integer(128, 300), random.integer(1024, 3000), random.integer(512, 4096)};
    case 17:
      return {random.integer(700, 2400), random.integer(4096, 16384), random.integer(1, 1000)};
    case 4:
    case 6:
    case 15:
      return {random.integer(128, 800), random.integer(1024, 8192), random.integer(1, 1500)};
    default:
      return {random.integer(1, 400), random.integer(64, 4000), random.integer(1, 1200)};
  }
}

/// The size of a scene's pre-activations.
inline double soak_unit(Scene scene) {
  if (scene == Scene::kHuge) return 1e18;
  if (scene == Scene::kTiny) return 1e-32;
  if (scene == Scene::kSubnormal) return 1e-40;
  return 1;
}

struct SoakCase {
  int64_t d_in, d_sae, tokens, k = 0;
  Kind kind;
  double unit;
  std::vector<float> w, x;    // [d_sae, d_in] as the encoder stores them, [tokens, d_in]
  std::vector<double> truth;  // [tokens, d_sae]: x . w
  std::vector<double> x_norm, w_norm;
  cpu::Memory<char> stored;
  monosem_view w_enc;
  std::vector<float> gate_bias, theta, scale, bias, center;

  SoakCase(Scene scene, const SoakShape& shape, Random& random)
      : d_in(shape.d_in),
        d_sae(shape.d_sae),
        tokens(shape.tokens),
        kind(static_cast<Kind>(random.integer(0, 3))),
        unit(soak_unit(scene)) {
    ScreenData data = screen_data(scene, d_in, d_sae, tokens, random);
    w = std::move(data.w);
    x = std::move(data.x);
    store_weights(random);
    if (random.chance(0.2)) {
      x[random.integer(0, tokens * d_in - 1)] = std::numeric_limits<float>::infinity();
      x[random.integer(0, tokens * d_in - 1)] = std::numeric_limits<float>::quiet_NaN();
    }
    truth = truths(x, tokens, w, d_sae, d_in);
    x_norm = norms(x, tokens);
    w_norm = norms(w, d_sae);
    make_vectors(random);
  }

  monosem_sae_encoder encoder() const {
    return {d_in,
            d_sae,
            w_enc,
            gate_bias.data(),
            theta.empty() ? nullptr : theta.data(),
            scale.empty() ? nullptr : scale.data(),
            bias.data(),
            center.empty() ? nullptr : center.data(),
            k};
  }

 private:
  std::vector<double> norms(const std::vector<float>& rows, int64_t count) const {
    std::vector<double> of(static_cast<size_t>(count));
    ThreadPool::instance().run(count, 64, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const float* row = &rows[r * d_in];
        of[r] = std::sqrt(dot(row, row, d_in));
      }
    });
    return of;
  }

  /// float32 or bfloat16, by input or by feature; w becomes what was stored.
  void store_weights(Random& random) {
    const int32_t dtype = random.chance(0.3) ? MONOSEM_BFLOAT16 : MONOSEM_FLOAT32;
    const bool by_feature = random.chance(0.5);
    stored = cpu::Memory<char>(d_in * d_sae * 4);
    w_enc = {
        stored.get(), dtype, 2, {d_in, d_sae}, {by_feature ? 1 : d_sae, by_feature ? d_in : 1}};
    const monosem_view ours{w.data(), MONOSEM_FLOAT32, 2, {d_in, d_sae}, {1, d_in}};
    cpu::copy(w_enc, ours);
    cpu::copy(ours, w_enc);
  }

  /// The pre-activation of a feature that few tokens exceed, as far as a few tries tell.
  double high(int64_t f, Random& random) const {
    double most = -std::numeric_limits<double>::infinity();
    for (int n = 0; n < 40; ++n) {
      const double value = truth[random.integer(0, tokens - 1) * d_sae + f];
      if (std::isfinite(value)) most = std::max(most, value);
    }
    return std::isfinite(most) ? most : 0.0;
  }

  void make_vectors(Random& random) {
    const bool sparse = random.chance(0.8);
    for (int64_t f = 0; f < d_sae; ++f) {
      // Within a millionth of a real pre-activation: on it, or next to it.
      const double edge = sparse ? high(f, random) * (1 + 1e-6 * random.normal()) : 0.0;
      const double noise = 0.1 * unit * random.normal();
      const bool by_bias = kind == Kind::kRelu || kind == Kind::kGated;
      gate_bias.push_back(static_cast<float>(by_bias ? -edge : noise));
      bias.push_back(kind == Kind::kGated ? static_cast<float>(noise) : gate_bias.back());
      if (kind != Kind::kTopK)
        theta.push_back(kind == Kind::kJumpRelu
                            ? std::max(0.0f, static_cast<float>(edge + gate_bias.back()))
                            : 0.0f);
      if (kind == Kind::kGated || kind == Kind::kTopK)
        scale.push_back(std::exp(0.3f * random.normal()));
    }
    if (kind == Kind::kTopK) {
      k = random.integer(1, std::min<int64_t>(d_sae, 100));
      if (random.chance(0.5)) scale.clear();
    }
    if (random.chance(0.3))
      for (int64_t i = 0; i < d_in; ++i) {
        const float value = x[random.integer(0, tokens - 1) * d_in + i];
        center.push_back(std::isfinite(value) ? value : 0.0f);
      }
  }
};

}  // namespace monosem::test
