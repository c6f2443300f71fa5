#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "test/isas.h"
#include "test/sae_case.h"

namespace {

using namespace monosem::test;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Kind kKinds[] = {Kind::kRelu, Kind::kJumpRelu, Kind::kGated, Kind::kTopK};

}  // namespace

TEST(sae_encode_matches_fp64) {
  for_each_isa([](const std::string& isa) {
    Random random(21);
    for (Kind kind : kKinds)
      for (int64_t tokens : {0, 1, 3, 8, 9, 33, 70}) {
        const int64_t d_in = random.integer(1, 90), d_sae = random.integer(1, 400);
        const SaeCase sae(kind, d_in, d_sae, random_float_dtype(random), random);
        const Plan plan(sae.encoder());
        const std::vector<float> x = random_tokens(tokens, d_in, random);
        monosem_sae_stats stats;
        const Csr acts = encode(plan.plan, x, tokens, MONOSEM_PRECISION_FLOAT32, &stats);
        check_encode(sae, x, tokens, acts.csr,
                     isa + " kind " + std::to_string(static_cast<int>(kind)) + ", " +
                         std::to_string(tokens) + " tokens, " + std::to_string(d_in) + " x " +
                         std::to_string(d_sae));
        CHECK(stats.tokens == static_cast<double>(tokens), stats.tokens);
      }
  });
}

TEST(sae_encode_matches_fp64_across_blocks) {
  for_each_isa([](const std::string& isa) {
    Random random(22);
    for (Kind kind : {Kind::kJumpRelu, Kind::kTopK}) {
      const SaeCase sae(kind, 300, 700, MONOSEM_FLOAT32, random);
      const Plan plan(sae.encoder());
      const std::vector<float> x = random_tokens(600, 300, random);
      check_encode(sae, x, 600, encode(plan.plan, x, 600, MONOSEM_PRECISION_FLOAT32).csr, isa);
    }
  });
}

TEST(sae_encode_threshold_is_strict_and_values_are_relu) {
  for_each_isa([](const std::string& isa) {
    // d_in 1, W = 1: the pre-activation is x itself.
    for (int64_t tokens : {1, 12}) {
      const int64_t d_sae = 40;
      const std::vector<float> w(d_sae, 1.0f), zero(d_sae, 0.0f), scale(d_sae, 1.0f);
      std::vector<float> theta(d_sae, 1.0f), bias(d_sae, 0.0f);
      bias[3] = -5.0f;  // passes the gate, but its value is not positive
      theta[7] = 0.5f;
      const monosem_sae_encoder encoder{
          1,
          d_sae,
          {const_cast<float*>(w.data()), MONOSEM_FLOAT32, 2, {1, d_sae}, {d_sae, 1}},
          zero.data(),
          theta.data(),
          scale.data(),
          bias.data(),
          nullptr,
          0};
      const Plan plan(encoder);
      const Csr equal = encode(plan.plan, std::vector<float>(tokens, 1.0f), tokens, MONOSEM_STRICT);
      CHECK(equal.csr.nnz == tokens && equal.csr.indices[0] == 7, isa << ' ' << equal.csr.nnz);
      const Csr above = encode(plan.plan, std::vector<float>(tokens, 2.0f), tokens, MONOSEM_STRICT);
      CHECK(above.csr.nnz == tokens * (d_sae - 1), isa << ' ' << above.csr.nnz);
    }
  });
}

TEST(sae_encode_keeps_nan_active) {
  for_each_isa([](const std::string& isa) {
    Random random(23);
    for (Kind kind : kKinds)
      for (int64_t tokens : {2, 20}) {
        const SaeCase sae(kind, 24, 90, MONOSEM_FLOAT32, random);
        const Plan plan(sae.encoder());
        std::vector<float> x = random_tokens(tokens, 24, random);
        x[24 + 5] = kNaN;  // token 1
        const Csr acts = encode(plan.plan, x, tokens, MONOSEM_STRICT);
        const monosem_csr& csr = acts.csr;
        const int64_t wanted = sae.k > 0 ? sae.k : sae.d_sae;
        CHECK(csr.row_offsets[2] - csr.row_offsets[1] == wanted, isa);
        for (uint32_t i = csr.row_offsets[1]; i < csr.row_offsets[2]; ++i) {
          CHECK(std::isnan(csr.values[i]), isa << ' ' << csr.values[i]);
          CHECK(csr.indices[i] == i - csr.row_offsets[1],
                isa << " NaN ties go to the lowest index");
        }
        for (uint32_t i = 0; i < csr.row_offsets[1]; ++i)
          CHECK(!std::isnan(csr.values[i]), isa << " NaN leaked into another token");
      }
  });
}

TEST(sae_encode_top_k_breaks_ties_by_lowest_index) {
  for_each_isa([](const std::string& isa) {
    const int64_t d_sae = 5000, k = 7;
    std::vector<float> w(d_sae, 1.0f), bias(d_sae, 0.0f);
    w[4000] = 2.0f;
    for (int64_t f = 100; f < 3000; ++f) w[f] = -1.0f;
    const monosem_sae_encoder encoder{
        1,           d_sae,       {w.data(), MONOSEM_FLOAT32, 2, {1, d_sae}, {d_sae, 1}},
        bias.data(), bias.data(), nullptr,
        bias.data(), nullptr,     k};
    const Plan plan(encoder);
    for (int64_t tokens : {1, 10}) {
      const Csr acts = encode(plan.plan, std::vector<float>(tokens, 1.0f), tokens, MONOSEM_STRICT);
      CHECK(acts.csr.nnz == tokens * k, isa << ' ' << acts.csr.nnz);
      for (uint32_t i = 0; i < k; ++i) {
        const uint32_t want = i < k - 1 ? i : 4000;
        CHECK(acts.csr.indices[i] == want, isa << ' ' << i << ": " << acts.csr.indices[i]);
      }
    }
  });
}

TEST(sae_encode_is_bitwise_reproducible) {
  for_each_isa([](const std::string& isa) {
    Random random(24);
    for (Kind kind : {Kind::kGated, Kind::kTopK}) {
      const SaeCase sae(kind, 100, 3000, MONOSEM_FLOAT16, random);
      const Plan plan(sae.encoder());
      for (int64_t tokens : {3, 50}) {
        const std::vector<float> x = random_tokens(tokens, 100, random);
        for (int32_t precision :
             {MONOSEM_STRICT, MONOSEM_CERTIFIED, MONOSEM_FAST, MONOSEM_PRECISION_FLOAT32}) {
          const Csr first = encode(plan.plan, x, tokens, precision);
          const Csr again = encode(plan.plan, x, tokens, precision);
          CHECK(same_bits(first.csr, again.csr), isa << " precision " << precision);
        }
      }
    }
  });
}

TEST(sae_encode_stops_when_cancelled) {
  Random random(25);
  const SaeCase sae(Kind::kRelu, 4, 64, MONOSEM_FLOAT32, random);
  const Plan plan(sae.encoder());
  const std::vector<float> x = random_tokens(3000, 4, random);
  int polls = 0;
  monosem_csr out{};
  monosem_sae_stats stats;
  const char* code = "";
  try {
    monosem::cpu::sae_encode(
        *plan.plan, x.data(), 3000, MONOSEM_STRICT,
        [](void* count) -> int32_t { return ++*static_cast<int*>(count) == 2; }, &polls, out,
        stats);
  } catch (const monosem::Error& error) {
    code = error.code();
  }
  CHECK(std::string(code) == monosem::kAborted && polls == 2, code << ' ' << polls);
  CHECK(out.row_offsets == nullptr, "an aborted encode left a result");
}
