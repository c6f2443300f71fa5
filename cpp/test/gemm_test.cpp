#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/isas.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;

struct Case {
  int64_t batch, m, n, k;
  bool bias;
  int32_t activation;
};

double activate(int32_t activation, double value) {
  return activation == MONOSEM_RELU   ? std::max(value, 0.0)
         : activation == MONOSEM_TANH ? std::tanh(value)
                                      : value;
}

void check_product(const Case& t, Random& random, const std::string& isa) {
  Strided a(random_float_dtype(random), {t.batch, t.m, t.k}, random);
  Strided b(random_float_dtype(random), {t.batch, t.k, t.n}, random);
  Strided c(random_float_dtype(random), {t.batch, t.m, t.n}, random);
  a.fill_normal(random);
  b.fill_normal(random);
  c.fill_normal(random);  // must be overwritten
  std::vector<float> bias(static_cast<size_t>(t.n));
  for (float& value : bias) value = random.normal();
  const float alpha = random.chance(0.5) ? 1.0f : random.uniform(0.1f, 2.0f);
  monosem::cpu::gemm({a.view, b.view, c.view, t.bias ? bias.data() : nullptr, alpha, t.activation});
  for (int64_t index = 0; index < t.batch; ++index)
    for (int64_t i = 0; i < t.m; ++i)
      for (int64_t j = 0; j < t.n; ++j) {
        double sum = 0, size = 0;
        for (int64_t k = 0; k < t.k; ++k) {
          const double product =
              a.get((index * t.m + i) * t.k + k) * b.get((index * t.k + k) * t.n + j);
          sum += product;
          size += std::fabs(product);
        }
        const double want = activate(t.activation, alpha * sum + (t.bias ? bias[j] : 0.0f));
        const double got = c.get((index * t.m + i) * t.n + j);
        CHECK(close(got, want, 2 * rounding(c.view.dtype), 4e-6 * (1 + size)),
              isa << " batch " << t.batch << " m " << t.m << " n " << t.n << " k " << t.k << " at ("
                  << index << ", " << i << ", " << j << "): " << got << ", not " << want);
      }
}

}  // namespace

TEST(gemm_matches_fp64_at_awkward_sizes) {
  for_each_isa([](const std::string& isa) {
    Random random(7);
    for (int64_t m : {1, 2, 5, 8, 9, 15, 29, 61})
      for (int64_t n : {1, 3, 16, 33, 70})
        for (int64_t k : {1, 7, 32, 67})
          check_product({random.integer(1, 2), m, n, k, random.chance(0.5),
                         random.chance(0.3) ? MONOSEM_RELU : -1},
                        random, isa);
  });
}

TEST(gemm_matches_fp64_across_blocks) {
  for_each_isa([](const std::string& isa) {
    Random random(8);
    check_product({1, 300, 40, 530, true, MONOSEM_TANH}, random, isa);
    check_product({1, 30, 1100, 257, true, -1}, random, isa);
    check_product({1, 1, 2100, 300, true, -1}, random, isa);
    check_product({1, 3, 200, 800, false, -1}, random, isa);
    check_product({1, 8, 130, 1000, true, -1}, random, isa);
    check_product({3, 4, 300, 520, false, MONOSEM_RELU}, random, isa);
  });
}

TEST(gemm_handles_empty_and_broadcast_operands) {
  for_each_isa([](const std::string& isa) {
    Random random(9);
    check_product({1, 0, 5, 3, true, -1}, random, isa);
    check_product({2, 3, 0, 3, true, -1}, random, isa);
    check_product({2, 3, 5, 0, true, -1}, random, isa);
    check_product({1, 20, 5, 0, false, -1}, random, isa);
    // One b for all of the batch, and a row of a repeated.
    Strided a(MONOSEM_FLOAT32, {3, 1, 6}), b(MONOSEM_FLOAT32, {1, 6, 4}),
        c(MONOSEM_FLOAT32, {3, 9, 4});
    a.fill_normal(random);
    b.fill_normal(random);
    monosem_view wide = a.view, shared = b.view;
    wide.shape[1] = 9;
    wide.stride[1] = 0;
    shared.shape[0] = 3;
    shared.stride[0] = 0;
    monosem::cpu::gemm({wide, shared, c.view, nullptr, 1.0f, -1});
    for (int64_t i = 0; i < 3 * 9 * 4; ++i) {
      double want = 0;
      for (int64_t k = 0; k < 6; ++k) want += a.get(i / 36 * 6 + k) * b.get(k * 4 + i % 4);
      CHECK(close(c.get(i), want, 1e-5, 1e-6), isa << " " << i << ": " << c.get(i) << " " << want);
    }
  });
}

TEST(gemm_passes_nan_and_infinity_on) {
  for_each_isa([](const std::string& isa) {
    for (int64_t m : {2, 20}) {
      Random random(10);
      Strided a(MONOSEM_FLOAT32, {1, m, 40}), b(MONOSEM_FLOAT32, {1, 40, 37}),
          c(MONOSEM_FLOAT32, {1, m, 37});
      a.fill_normal(random);
      b.fill_normal(random);
      a.set(40 + 3, std::numeric_limits<double>::quiet_NaN());     // row 1
      b.set(5 * 37 + 2, std::numeric_limits<double>::infinity());  // column 2
      monosem::cpu::gemm({a.view, b.view, c.view, nullptr, 1.0f, -1});
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < 37; ++j) {
          const double got = c.get(i * 37 + j);
          CHECK(std::isnan(got) == (i == 1), isa << " " << i << ' ' << j << ' ' << got);
          if (i != 1) CHECK(std::isinf(got) == (j == 2), isa << " " << i << ' ' << j << ' ' << got);
        }
    }
  });
}

TEST(gemm_is_bitwise_reproducible) {
  for_each_isa([](const std::string& isa) {
    Random random(11);
    Strided a(MONOSEM_FLOAT32, {1, 70, 600}), b(MONOSEM_BFLOAT16, {1, 600, 130});
    Strided first(MONOSEM_FLOAT32, {1, 70, 130}), again(MONOSEM_FLOAT32, {1, 70, 130});
    a.fill_normal(random);
    b.fill_normal(random);
    monosem::cpu::gemm({a.view, b.view, first.view, nullptr, 1.0f, -1});
    for (int run = 0; run < 5; ++run) {
      monosem::cpu::gemm({a.view, b.view, again.view, nullptr, 1.0f, -1});
      CHECK(std::memcmp(first.view.data, again.view.data, 70 * 130 * 4) == 0, isa);
    }
  });
}
