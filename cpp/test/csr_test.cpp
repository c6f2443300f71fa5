#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

/// Owns a csr's arrays.
struct Sparse {
  Sparse() = default;
  ~Sparse() {
    cpu::release(csr.row_offsets);
    cpu::release(csr.indices);
    cpu::release(csr.values);
  }
  Sparse(const Sparse&) = delete;
  Sparse& operator=(const Sparse&) = delete;
  monosem_csr csr{};
};

void fill_sparse(Strided& dense, Random& random) {
  for (int64_t i = 0; i < dense.size(); ++i) {
    if (random.chance(0.1)) dense.set(i, random.chance(0.05) ? std::nan("") : 1.0 + random.unit());
  }
}

/// The csr's form, and that it says what `expected(token, feature)` says.
void check_csr(const monosem_csr& csr, const std::function<double(int64_t, int64_t)>& expected) {
  CHECK(csr.row_offsets[0] == 0 && csr.row_offsets[csr.tokens] == csr.nnz, csr.nnz);
  for (int64_t t = 0; t < csr.tokens; ++t) {
    int64_t entry = csr.row_offsets[t];
    for (int64_t f = 0; f < csr.d_sae; ++f) {
      const double value = expected(t, f);
      if (value == 0) continue;
      CHECK(entry < csr.row_offsets[t + 1] && csr.indices[entry] == f,
            "token " << t << " lacks feature " << f);
      CHECK(close(double{csr.values[entry]}, value, 1e-6), csr.values[entry]);
      ++entry;
    }
    CHECK(entry == csr.row_offsets[t + 1], "token " << t << " has more entries than it should");
  }
}

TEST(csr_to_and_from_dense) {
  Random random(61);
  for (int round = 0; round < 60; ++round) {
    const int64_t tokens = random.integer(0, 12);
    const int64_t d_sae = random.chance(0.2) ? random.integer(1000, 3000) : random.integer(0, 60);
    Strided dense(random_float_dtype(random), {tokens, d_sae}, random);
    Strided back(random_float_dtype(random), {tokens, d_sae}, random);
    fill_sparse(dense, random);
    back.fill_normal(random);
    Sparse sparse;
    cpu::csr_from_dense(dense.view, sparse.csr);
    CHECK(sparse.csr.tokens == tokens && sparse.csr.d_sae == d_sae, sparse.csr.tokens);
    check_csr(sparse.csr, [&](int64_t t, int64_t f) { return dense.get(t * d_sae + f); });
    cpu::csr_to_dense(sparse.csr, back.view);
    std::vector<float> counts(static_cast<size_t>(tokens));
    cpu::csr_count(sparse.csr, counts.data());
    for (int64_t t = 0; t < tokens; ++t) {
      float active = 0;
      for (int64_t f = 0; f < d_sae; ++f) {
        const double value = dense.get(t * d_sae + f);
        active += value != 0;
        CHECK(close(back.get(t * d_sae + f), value, rounding(back.view.dtype)), value);
      }
      CHECK(counts[static_cast<size_t>(t)] == active, active);
    }
  }
}

TEST(csr_rows_picks_repeats_and_reorders) {
  Random random(62);
  Strided dense(MONOSEM_FLOAT32, {7, 40});
  fill_sparse(dense, random);
  Sparse all;
  cpu::csr_from_dense(dense.view, all.csr);
  const std::vector<int64_t> rows{6, 0, 3, 3, 3, 5};
  Sparse some, none;
  cpu::csr_rows(all.csr, rows.data(), 6, some.csr);
  CHECK(some.csr.tokens == 6, some.csr.tokens);
  check_csr(some.csr,
            [&](int64_t t, int64_t f) { return dense.get(rows[static_cast<size_t>(t)] * 40 + f); });
  cpu::csr_rows(all.csr, nullptr, 0, none.csr);
  CHECK(none.csr.tokens == 0 && none.csr.nnz == 0, none.csr.nnz);
}

TEST(csr_intervene_changes_what_the_dense_tensor_would) {
  Random random(63);
  for (int round = 0; round < 300; ++round) {
    const int64_t tokens = random.integer(0, 6), d_sae = random.integer(1, 50);
    Strided dense(MONOSEM_FLOAT32, {tokens, d_sae});
    fill_sparse(dense, random);
    Sparse before, after;
    cpu::csr_from_dense(dense.view, before.csr);
    std::vector<uint32_t> features;
    std::vector<bool> listed(static_cast<size_t>(d_sae));
    for (int64_t f = 0; f < d_sae; ++f) {
      if (!random.chance(0.2)) continue;
      features.push_back(static_cast<uint32_t>(f));
      listed[static_cast<size_t>(f)] = true;
    }
    const auto what = static_cast<int32_t>(random.integer(MONOSEM_ZERO, MONOSEM_KEEP));
    const float value = random.chance(0.2) ? 0.0f : random.uniform(-2, 2);
    cpu::csr_intervene(before.csr, what, features.data(), static_cast<int64_t>(features.size()),
                       value, after.csr);
    check_csr(after.csr, [&](int64_t t, int64_t f) {
      const double old = dense.get(t * d_sae + f);
      const bool chosen = listed[static_cast<size_t>(f)];
      if (what == MONOSEM_KEEP) return chosen ? old : 0.0;
      if (!chosen) return old;
      switch (what) {
        case MONOSEM_SET:
          return double{value};
        case MONOSEM_PLUS:
          return static_cast<double>(static_cast<float>(old) + value);
        case MONOSEM_SCALE:
          return old * double{value};
        default:
          return 0.0;
      }
    });
  }
}

TEST(csr_intervene_drops_entries_that_become_zero) {
  Strided dense(MONOSEM_FLOAT32, {1, 3});
  dense.set(0, 2);
  dense.set(2, 5);
  Sparse before, after;
  cpu::csr_from_dense(dense.view, before.csr);
  const uint32_t features[] = {0, 1};
  cpu::csr_intervene(before.csr, MONOSEM_PLUS, features, 2, -2.0f, after.csr);
  CHECK(after.csr.nnz == 2 && after.csr.indices[0] == 1 && after.csr.values[0] == -2,
        "2 - 2 vanishes, 0 - 2 appears: " << after.csr.nnz);
}

}  // namespace
