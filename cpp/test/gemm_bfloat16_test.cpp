// Products of two bfloat16 matrices, by the kernels that multiply pairs of them and by those that
// convert, against fp64 of the same bfloat16 values.

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "cpu/kernels/amx_bf16_tile.h"
#include "cpu/ops.h"
#include "cpu/pack.h"
#include "test/check.h"
#include "test/isas.h"
#include "test/strided.h"

namespace {

using namespace monosem;
using namespace monosem::test;

void for_each_kernels(
    const std::function<void(const cpu::Microkernels&, const std::string&)>& body) {
  for_each_isa([&](const std::string& isa) { body(cpu::microkernels(), isa); });
  cpu::Microkernels amx = cpu::microkernels();
  amx.bfloat16 = {cpu::kAmxRows, cpu::kAmxColumns, cpu::kAmxMostPairs, true,
                  cpu::amx_bfloat16_tile<cpu::BFloat16ModelTiles>};
  body(amx, "model of AMX");
}

monosem_gemm plain(const Strided& a, const Strided& b, const Strided& c) {
  return {a.view, b.view, c.view, nullptr, 1.0f, -1};
}

/// Products of two bfloat16 values are exact, so the error is that of k float32 additions, each
/// half a unit of a partial sum (which sum |a b| bounds), and of scale and bias. Where subnormals
/// count as zero, each of the k steps may lose a sum below 2^-126, and a value below that times
/// what it is multiplied with.
double tolerance(double size, double largest, int64_t k) {
  return static_cast<double>(k + 3) * 0x1p-24 * size +
         static_cast<double>(k) * 0x1p-126 * (1 + largest);
}

struct Case {
  int64_t batch, m, n, k;
  bool bias = false;
  int32_t activation = -1;
};

void check_product(const Case& t, Random& random, const cpu::Microkernels& kernels,
                   const std::string& isa, double scale = 1) {
  Strided a(MONOSEM_BFLOAT16, {t.batch, t.m, t.k}, random);
  Strided b(MONOSEM_BFLOAT16, {t.batch, t.k, t.n}, random);
  Strided c(random_float_dtype(random), {t.batch, t.m, t.n}, random);
  a.fill_normal(random, scale);
  b.fill_normal(random);
  c.fill_normal(random);  // must be overwritten
  std::vector<float> bias(static_cast<size_t>(t.n));
  for (float& value : bias) value = static_cast<float>(scale) * random.normal();
  const float alpha = random.chance(0.5) ? 1.0f : random.uniform(0.1f, 2.0f);
  cpu::gemm({a.view, b.view, c.view, t.bias ? bias.data() : nullptr, alpha, t.activation}, kernels);
  for (int64_t index = 0; index < t.batch; ++index)
    for (int64_t i = 0; i < t.m; ++i)
      for (int64_t j = 0; j < t.n; ++j) {
        double sum = 0, size = 0, largest = 0;
        for (int64_t k = 0; k < t.k; ++k) {
          const double x = a.get((index * t.m + i) * t.k + k),
                       w = b.get((index * t.k + k) * t.n + j);
          sum += x * w;
          size += std::fabs(x * w);
          largest = std::max({largest, std::fabs(x), std::fabs(w)});
        }
        const double offset = t.bias ? bias[static_cast<size_t>(j)] : 0.0f;
        const double before = alpha * sum + offset;
        const double want = t.activation == MONOSEM_RELU ? std::max(before, 0.0) : before;
        const double got = c.get((index * t.m + i) * t.n + j);
        // A float16 result may itself be subnormal: half of its last place is 2^-25.
        const double stored = c.view.dtype == MONOSEM_FLOAT16 ? 0x1p-25 : 0x1p-134;
        CHECK(close(got, want, rounding(c.view.dtype),
                    1.01 * tolerance(alpha * size + std::fabs(offset), largest, t.k) + stored),
              isa << " batch " << t.batch << " m " << t.m << " n " << t.n << " k " << t.k << " at ("
                  << index << ", " << i << ", " << j << "): " << got << ", not " << want);
      }
}

}  // namespace

TEST(gemm_bfloat16_matches_fp64_at_awkward_sizes) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    Random random(21);
    for (int64_t m : {1, 8, 9, 15, 29, 33, 61})
      for (int64_t n : {1, 3, 16, 33, 70})
        for (int64_t k : {1, 2, 7, 32, 33, 67})
          check_product({random.integer(1, 2), m, n, k, random.chance(0.5),
                         random.chance(0.3) ? MONOSEM_RELU : -1},
                        random, kernels, isa);
  });
}

TEST(gemm_bfloat16_matches_fp64_across_blocks) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    Random random(22);
    check_product({1, 530, 40, 101}, random, kernels, isa);
    check_product({1, 40, 530, 101, true}, random, kernels, isa);
    check_product({1, 21, 37, 1701, true, MONOSEM_RELU}, random, kernels, isa);
    check_product({2, 17, 33, 2304}, random, kernels, isa);
    check_product({3, 4, 300, 520, false, MONOSEM_RELU}, random, kernels, isa);
  });
}

TEST(gemm_bfloat16_loses_no_more_than_subnormals) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    Random random(23);
    // Around 2^-126: operands that are subnormal, sums that become so.
    for (double scale : {0x1p-120, 0x1p-125, 0x1p-130})
      check_product({1, 19, 35, 50, true}, random, kernels, isa, scale);
  });
}

TEST(gemm_bfloat16_handles_empty_and_broadcast_operands) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    Random random(24);
    check_product({1, 0, 5, 3, true}, random, kernels, isa);
    check_product({2, 30, 0, 3, true}, random, kernels, isa);
    check_product({2, 30, 5, 0, true}, random, kernels, isa);
    // One b for all of the batch, and a row of a repeated.
    Strided a(MONOSEM_BFLOAT16, {3, 1, 6}), b(MONOSEM_BFLOAT16, {1, 6, 4}),
        c(MONOSEM_FLOAT32, {3, 12, 4});
    a.fill_normal(random);
    b.fill_normal(random);
    monosem_view wide = a.view, shared = b.view;
    wide.shape[1] = 12;
    wide.stride[1] = 0;
    shared.shape[0] = 3;
    shared.stride[0] = 0;
    cpu::gemm({wide, shared, c.view, nullptr, 1.0f, -1}, kernels);
    for (int64_t i = 0; i < c.size(); ++i) {
      double want = 0;
      for (int64_t k = 0; k < 6; ++k) want += a.get(i / 48 * 6 + k) * b.get(k * 4 + i % 4);
      CHECK(close(c.get(i), want, 1e-6, 1e-5), isa << " " << i << ": " << c.get(i) << " " << want);
    }
  });
}

TEST(gemm_bfloat16_passes_nan_and_infinity_on) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    // An odd depth: what fills its last pair must not meet them.
    for (int64_t k : {40, 41}) {
      Random random(25);
      Strided a(MONOSEM_BFLOAT16, {1, 40, k}), b(MONOSEM_BFLOAT16, {1, k, 37}),
          c(MONOSEM_FLOAT32, {1, 40, 37});
      a.fill_normal(random);
      b.fill_normal(random);
      a.set(k + k - 1, std::numeric_limits<double>::quiet_NaN());        // row 1
      b.set((k - 1) * 37 + 2, std::numeric_limits<double>::infinity());  // column 2
      cpu::gemm(plain(a, b, c), kernels);
      for (int64_t i = 0; i < 40; ++i)
        for (int64_t j = 0; j < 37; ++j) {
          const double got = c.get(i * 37 + j);
          CHECK(std::isnan(got) == (i == 1), isa << " " << i << ' ' << j << ' ' << got);
          if (i != 1) CHECK(std::isinf(got) == (j == 2), isa << " " << i << ' ' << j << ' ' << got);
        }
    }
  });
}

// However the work is cut, by the shape or by the number of threads, an element's sum is the same.
TEST(gemm_bfloat16_is_bitwise_the_same_in_parts) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    Random random(26);
    const int64_t m = 70, n = 300, k = 900, row = 23, rows = 20, column = 77, columns = 51;
    Strided a(MONOSEM_BFLOAT16, {1, m, k}), b(MONOSEM_BFLOAT16, {1, k, n});
    Strided whole(MONOSEM_FLOAT32, {1, m, n}), part(MONOSEM_FLOAT32, {1, rows, columns});
    a.fill_normal(random);
    b.fill_normal(random);
    cpu::gemm(plain(a, b, whole), kernels);
    monosem_view upper = a.view, left = b.view;
    upper.data = static_cast<uint16_t*>(a.view.data) + row * k;
    upper.shape[1] = rows;
    left.data = static_cast<uint16_t*>(b.view.data) + column;
    left.shape[2] = columns;
    for (int run = 0; run < 3; ++run) {
      cpu::gemm({upper, left, part.view, nullptr, 1.0f, -1}, kernels);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j)
          CHECK(part.get(i * columns + j) == whole.get((row + i) * n + column + j),
                isa << " " << i << ' ' << j);
    }
  });
}

TEST(gemm_rounds_no_float32_operand_to_bfloat16) {
  for_each_kernels([](const cpu::Microkernels& kernels, const std::string& isa) {
    for (int64_t m : {3, 30}) {
      Strided a(MONOSEM_FLOAT32, {1, m, 64}), b(MONOSEM_BFLOAT16, {1, 64, 40}),
          c(MONOSEM_FLOAT32, {1, m, 40});
      for (int64_t i = 0; i < a.size(); ++i) a.set(i, 1 + 0x1p-15);
      for (int64_t i = 0; i < b.size(); ++i) b.set(i, 1);
      cpu::gemm(plain(a, b, c), kernels);
      for (double value : c.values()) CHECK(value == 64 + 0x1p-9, isa << " " << value);
    }
  });
}
