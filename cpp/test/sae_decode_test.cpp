#include <cmath>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "test/isas.h"
#include "test/sae_case.h"

namespace {

using namespace monosem::test;

struct DecodeCase {
  int64_t tokens, d_sae, d_out;
  int32_t dtype, normalize;
  bool scaled, biased, with_error, with_recons;
};

void check_decode(const DecodeCase& t, Random& random, const std::string& isa) {
  Strided w(t.dtype, {t.d_sae, t.d_out});
  w.fill_normal(random);
  // Rows may be further apart than d_out.
  std::vector<uint32_t> offsets{0}, indices;
  std::vector<float> values;
  for (int64_t token = 0; token < t.tokens; ++token) {
    const double share = random.chance(0.2) ? 0.0 : 0.3;
    for (int64_t f = 0; f < t.d_sae; ++f)
      if (random.chance(share)) {
        indices.push_back(static_cast<uint32_t>(f));
        values.push_back(random.normal());
      }
    offsets.push_back(static_cast<uint32_t>(indices.size()));
  }
  const monosem_csr csr{t.tokens,       t.d_sae,        static_cast<int64_t>(indices.size()),
                        offsets.data(), indices.data(), values.data()};
  const size_t size = static_cast<size_t>(t.tokens * t.d_out);
  std::vector<float> scale, bias, stats, x, out(size), recons(size), error(size);
  for (int64_t f = 0; f < t.d_sae; ++f) scale.push_back(std::exp(random.normal()));
  for (int64_t j = 0; j < t.d_out; ++j) bias.push_back(random.normal());
  for (int64_t i = 0; i < 2 * t.tokens; ++i) stats.push_back(1 + std::fabs(random.normal()));
  for (size_t i = 0; i < size; ++i) x.push_back(random.normal());
  monosem_decode d{};
  d.acts = &csr;
  d.w_dec = w.view;
  d.row_scale = t.scaled ? scale.data() : nullptr;
  d.b_dec = t.biased ? bias.data() : nullptr;
  d.normalize = t.normalize;
  d.stats = stats.data();
  d.factor = 1.7f;
  d.recons = t.with_recons ? recons.data() : nullptr;
  d.out = out.data();
  d.x = t.with_error ? x.data() : nullptr;
  d.error = t.with_error ? error.data() : nullptr;
  monosem::cpu::sae_decode(d);

  const std::vector<double> rows = w.values();
  for (int64_t token = 0; token < t.tokens; ++token)
    for (int64_t j = 0; j < t.d_out; ++j) {
      double sum = t.biased ? bias[j] : 0, size_of_terms = std::fabs(sum);
      for (uint32_t i = offsets[token]; i < offsets[token + 1]; ++i) {
        const double term = static_cast<double>(values[i]) * (t.scaled ? scale[indices[i]] : 1.0f) *
                            rows[indices[i] * t.d_out + j];
        sum += term;
        size_of_terms += std::fabs(term);
      }
      const double first = stats[2 * token], second = stats[2 * token + 1];
      const double want = t.normalize == MONOSEM_NORMALIZE_CONSTANT_NORM ? sum / first
                          : t.normalize == MONOSEM_NORMALIZE_LAYER_NORM  ? sum * first + second
                          : t.normalize == MONOSEM_NORMALIZE_SCALAR      ? sum / 1.7f
                                                                         : sum;
      const int64_t at = token * t.d_out + j;
      const double slack = 4e-6 * (1 + size_of_terms * std::max(1.0, first));
      CHECK(std::fabs(out[at] - want) <= slack, isa << " out [" << token << ", " << j << "] of "
                                                    << t.d_out << ": " << out[at] << ", not "
                                                    << want);
      if (t.with_recons)
        CHECK(std::fabs(recons[at] - sum) <= slack, isa << " recons " << recons[at]);
      if (t.with_error) CHECK(error[at] == x[at] - out[at], isa << " error " << error[at]);
    }
}

}  // namespace

TEST(sae_decode_matches_fp64) {
  for_each_isa([](const std::string& isa) {
    Random random(31);
    for (int64_t tokens : {0, 1, 2, 40})
      for (int64_t d_out : {1, 15, 64, 191, 500})
        for (int32_t dtype : {MONOSEM_FLOAT32, MONOSEM_FLOAT16, MONOSEM_BFLOAT16})
          check_decode({tokens, random.integer(1, 60), d_out, dtype,
                        static_cast<int32_t>(random.integer(0, 3)), random.chance(0.5),
                        random.chance(0.5), random.chance(0.5), random.chance(0.5)},
                       random, isa);
  });
}

TEST(sae_decode_of_a_token_does_not_depend_on_its_batch) {
  for_each_isa([](const std::string& isa) {
    // Alone, a token is split over columns; in a batch it is not.
    Random random(32);
    const int64_t d_out = 1000, d_sae = 50, tokens = 64;
    Strided w(MONOSEM_FLOAT32, {d_sae, d_out});
    w.fill_normal(random);
    std::vector<uint32_t> offsets{0}, indices;
    std::vector<float> values;
    for (int64_t token = 0; token < tokens; ++token) {
      for (uint32_t f = 0; f < 20; ++f) {
        indices.push_back(f * 2);
        values.push_back(random.normal());
      }
      offsets.push_back(static_cast<uint32_t>(indices.size()));
    }
    std::vector<float> all(tokens * d_out), one(d_out);
    monosem_csr csr{tokens, d_sae, tokens * 20, offsets.data(), indices.data(), values.data()};
    monosem_decode d{};
    d.acts = &csr;
    d.w_dec = w.view;
    d.out = all.data();
    monosem::cpu::sae_decode(d);
    csr = {1, d_sae, 20, offsets.data(), indices.data(), values.data()};
    d.out = one.data();
    monosem::cpu::sae_decode(d);
    CHECK(std::equal(one.begin(), one.end(), all.begin()), isa);
  });
}
