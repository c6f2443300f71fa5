#pragma once

// A random sparse autoencoder and its fp64 truth, for the tests of encode and decode.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace monosem::test {

enum class Kind { kRelu, kJumpRelu, kGated, kTopK };

struct SaeCase {
  int64_t d_in, d_sae, k = 0;
  Strided w;  // [d_in, d_sae]
  std::vector<float> gate_bias, theta, scale, bias, center;
  bool has_scale = false;

  SaeCase(Kind kind, int64_t in, int64_t sae, int32_t dtype, Random& random)
      : d_in(in), d_sae(sae), w(dtype, {in, sae}, random) {
    w.fill_normal(random, 1 / std::sqrt(static_cast<double>(in)));
    for (int64_t f = 0; f < sae; ++f) {
      bias.push_back(0.1f * random.normal());
      gate_bias.push_back(kind == Kind::kGated ? 0.1f * random.normal() : bias.back());
      theta.push_back(kind == Kind::kJumpRelu ? std::fabs(random.normal()) : 0.0f);
      scale.push_back(std::exp(0.3f * random.normal()));
    }
    has_scale = kind == Kind::kGated || (kind == Kind::kTopK && random.chance(0.5));
    if (kind == Kind::kTopK) k = random.integer(1, std::min<int64_t>(sae, 40));
    if (random.chance(0.5))
      for (int64_t i = 0; i < in; ++i) center.push_back(random.normal());
  }

  monosem_sae_encoder encoder() const {
    return {d_in,
            d_sae,
            w.view,
            gate_bias.data(),
            theta.data(),
            has_scale ? scale.data() : nullptr,
            bias.data(),
            center.empty() ? nullptr : center.data(),
            k};
  }
};

struct Plan {
  explicit Plan(const monosem_sae_encoder& encoder) : plan(cpu::sae_plan(encoder)) {}
  ~Plan() { cpu::sae_plan_free(plan); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  cpu::EncoderPlan* plan;
};

/// Owns the arrays of a monosem_csr.
struct Csr {
  monosem_csr csr{};
  Csr() = default;
  Csr(Csr&& other) noexcept : csr(std::exchange(other.csr, {})) {}
  Csr& operator=(Csr&& other) noexcept {
    std::swap(csr, other.csr);
    return *this;
  }
  ~Csr() {
    cpu::release(csr.row_offsets);
    cpu::release(csr.indices);
    cpu::release(csr.values);
  }
};

inline Csr encode(cpu::EncoderPlan* plan, const std::vector<float>& x, int64_t tokens,
                  int32_t precision, monosem_sae_stats* stats = nullptr) {
  Csr out;
  monosem_sae_stats ignored;
  cpu::sae_encode(*plan, x.data(), tokens, precision, nullptr, nullptr, out.csr,
                  stats == nullptr ? ignored : *stats);
  return out;
}

inline std::vector<float> random_tokens(int64_t tokens, int64_t d_in, Random& random) {
  std::vector<float> x(static_cast<size_t>(tokens * d_in));
  for (float& value : x) value = random.normal();
  return x;
}

/// Checks one encode against fp64. A feature may differ where its truth lies within the tolerance
/// of its threshold (top k: of the k-th largest); every value must lie within it.
inline void check_encode(const SaeCase& sae, const std::vector<float>& x, int64_t tokens,
                         const monosem_csr& csr, const std::string& what, double tolerance = 2e-5) {
  CHECK(csr.tokens == tokens && csr.d_sae == sae.d_sae, what);
  CHECK(csr.row_offsets[0] == 0 && csr.row_offsets[tokens] == csr.nnz, what);
  std::vector<double> w = sae.w.values();
  std::vector<double> acc(static_cast<size_t>(sae.d_sae)), score(acc.size());
  for (int64_t t = 0; t < tokens; ++t) {
    std::fill(acc.begin(), acc.end(), 0.0);
    for (int64_t i = 0; i < sae.d_in; ++i)
      for (int64_t f = 0; f < sae.d_sae; ++f)
        acc[f] += static_cast<double>(x[t * sae.d_in + i]) * w[i * sae.d_sae + f];
    for (int64_t f = 0; f < sae.d_sae; ++f)
      score[f] = acc[f] * (sae.has_scale ? sae.scale[f] : 1.0f) + sae.bias[f];
    double floor = 0;
    if (sae.k > 0) {
      std::vector<double> sorted = score;
      std::nth_element(sorted.begin(), sorted.begin() + (sae.k - 1), sorted.end(),
                       std::greater<>());
      floor = sorted[sae.k - 1];
      CHECK(csr.row_offsets[t + 1] - csr.row_offsets[t] <= sae.k, what << ": more than k active");
    }
    uint32_t at = csr.row_offsets[t];
    const uint32_t end = csr.row_offsets[t + 1];
    for (int64_t f = 0; f < sae.d_sae; ++f) {
      const bool got = at < end && csr.indices[at] == f;
      const double slack = tolerance * (1 + std::fabs(score[f]));
      // The distance by which the truth is active: the smaller of both conditions.
      const double over = sae.k > 0 ? std::min(score[f] - floor, score[f])
                                    : std::min(acc[f] + sae.gate_bias[f] - sae.theta[f], score[f]);
      const bool want = sae.k > 0 ? over >= 0 && score[f] > 0 : over > 0;
      CHECK(got == want || std::fabs(over) <= slack,
            what << ": token " << t << " feature " << f << (got ? " is active" : " is missing")
                 << ", distance from the threshold " << over);
      if (got) {
        CHECK(std::fabs(csr.values[at] - score[f]) <= slack, what << ": token " << t << " feature "
                                                                  << f << " is " << csr.values[at]
                                                                  << ", not " << score[f]);
        ++at;
      }
    }
    CHECK(at == end, what << ": token " << t << " has features out of order");
  }
}

inline bool same_bits(const monosem_csr& a, const monosem_csr& b) {
  return a.tokens == b.tokens && a.nnz == b.nnz &&
         std::memcmp(a.row_offsets, b.row_offsets, (a.tokens + 1) * 4) == 0 &&
         std::memcmp(a.indices, b.indices, a.nnz * 4) == 0 &&
         std::memcmp(a.values, b.values, a.nnz * 4) == 0;
}

}  // namespace monosem::test
