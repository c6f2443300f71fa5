#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

constexpr double kInf = std::numeric_limits<double>::infinity();

bool precedes(double a, double b) { return std::isnan(a) ? !std::isnan(b) : a > b; }

/// Column by column, as PyTorch defines them.
double reference(int32_t op, const std::vector<double>& x) {
  double sum = 0, squares = 0, best = -kInf;
  int64_t index = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += x[i];
    squares += x[i] * x[i];
    if (precedes(x[i], best)) {
      best = x[i];
      index = static_cast<int64_t>(i);
    }
  }
  switch (op) {
    case MONOSEM_SUM:
      return sum;
    case MONOSEM_MEAN:
      return sum / static_cast<double>(x.size());
    case MONOSEM_NORM2:
      return std::sqrt(squares);
    case MONOSEM_MAX:
      return best;
    default:
      return static_cast<double>(index);
  }
}

void check_reduce(int32_t op, const Strided& src, Random& random) {
  const int64_t outer = src.view.shape[0], n = src.view.shape[1], inner = src.view.shape[2];
  Strided dst(op == MONOSEM_ARGMAX ? int32_t{MONOSEM_INT32} : random_float_dtype(random),
              {outer, inner}, random);
  cpu::reduce(op, dst.view, src.view);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      std::vector<double> column;
      double magnitude = 0;
      for (int64_t j = 0; j < n; ++j) {
        column.push_back(src.get((o * n + j) * inner + i));
        if (std::isfinite(column.back())) magnitude += std::fabs(column.back());
      }
      const double expected = reference(op, column), got = dst.get(o * inner + i);
      CHECK(close(got, expected, 1.01 * rounding(dst.view.dtype), 1e-12 * magnitude + 3e-8),
            "op " << op << " over " << n << ": " << got << ", not " << expected);
    }
  }
}

TEST(reduce_matches_fp64_over_strides_and_dtypes) {
  Random random(21);
  for (int round = 0; round < 300; ++round) {
    const auto op = static_cast<int32_t>(random.integer(MONOSEM_SUM, MONOSEM_ARGMAX));
    Shape shape = random_shape(random, 3, 20);
    if (random.chance(0.2)) shape[2] = random.integer(100, 300);
    if (random.chance(0.2)) shape[1] = random.integer(1000, 3000);
    Strided src(random_float_dtype(random), shape, random);
    src.fill_normal(random);
    if (random.chance(0.2) && src.size() > 0)
      for (int i = 0; i < 5; ++i)
        src.set(random.integer(0, src.size() - 1), random.chance(0.5) ? std::nan("") : kInf);
    check_reduce(op, src, random);
  }
}

TEST(reduce_of_long_rows_is_exact_and_overflow_safe) {
  Random random(22);
  Strided src(MONOSEM_FLOAT32, {1, 200000, 1}), dst(MONOSEM_FLOAT32, {1, 1});
  for (int64_t i = 0; i < src.size(); ++i) src.set(i, 0.1);
  cpu::reduce(MONOSEM_SUM, dst.view, src.view);
  CHECK(dst.get(0) == static_cast<float>(200000 * double{0.1f}), dst.get(0));
  src.set(150000, 7);
  src.set(190000, 7);
  check_reduce(MONOSEM_ARGMAX, src, random);
  src.set(199999, std::nan(""));
  check_reduce(MONOSEM_ARGMAX, src, random);
  check_reduce(MONOSEM_MAX, src, random);
  Strided huge(MONOSEM_FLOAT32, {1, 4, 1});
  for (int i = 0; i < 4; ++i) huge.set(i, 1e38);
  cpu::reduce(MONOSEM_NORM2, dst.view, huge.view);
  CHECK(close(dst.get(0), 2e38, 1e-6), dst.get(0));
}

TEST(softmax_matches_fp64) {
  Random random(23);
  for (int round = 0; round < 200; ++round) {
    Shape shape = random_shape(random, 2, 40);
    if (random.chance(0.2)) shape[1] = random.integer(1000, 5000);
    Strided src(random_float_dtype(random), shape, random);
    Strided dst(random_float_dtype(random), shape, random);
    src.fill_normal(random, 5);
    const bool logarithm = random.chance(0.5);
    cpu::softmax(dst.view, src.view, logarithm);
    for (int64_t i = 0; i < shape[0]; ++i) {
      double largest = -kInf, sum = 0;
      for (int64_t j = 0; j < shape[1]; ++j) largest = std::max(largest, src.get(i * shape[1] + j));
      for (int64_t j = 0; j < shape[1]; ++j) sum += std::exp(src.get(i * shape[1] + j) - largest);
      for (int64_t j = 0; j < shape[1]; ++j) {
        const double x = src.get(i * shape[1] + j) - largest;
        const double expected = logarithm ? x - std::log(sum) : std::exp(x) / sum;
        CHECK(close(dst.get(i * shape[1] + j), expected, 1e-6 + 1.01 * rounding(dst.view.dtype),
                    logarithm ? 1e-6 : 3e-8),
              dst.get(i * shape[1] + j) << ", not " << expected);
      }
    }
  }
}

TEST(softmax_of_hidden_and_poisoned_rows) {
  Strided src(MONOSEM_FLOAT32, {3, 2}), dst(MONOSEM_FLOAT32, {3, 2});
  for (auto [i, value] : {std::pair{0, -kInf}, {1, -kInf}, {2, -kInf}, {3, 5.0}, {4, 1.0}})
    src.set(i, value);
  src.set(5, std::nan(""));
  cpu::softmax(dst.view, src.view, false);
  CHECK(dst.get(0) == 0 && dst.get(1) == 0 && dst.get(2) == 0 && dst.get(3) == 1, dst.get(0));
  CHECK(std::isnan(dst.get(4)) && std::isnan(dst.get(5)), dst.get(4));
  cpu::softmax(dst.view, src.view, true);
  CHECK(dst.get(0) == -kInf && dst.get(2) == -kInf && dst.get(3) == 0, dst.get(0));
}

TEST(topk_orders_like_a_stable_sort) {
  Random random(24);
  for (int round = 0; round < 150; ++round) {
    Shape shape{random.integer(0, 5), random.integer(1, 40)};
    if (random.chance(0.3)) shape[1] = random.integer(1000, 9000);
    const int64_t n = shape[1],
                  k = random.chance(0.2) ? n : random.integer(1, std::min<int64_t>(n, 50));
    Strided src(random_float_dtype(random), shape, random);
    Strided values(random_float_dtype(random), {shape[0], k}, random);
    Strided indices(MONOSEM_INT32, {shape[0], k}, random);
    // Few distinct values: many ties.
    for (int64_t i = 0; i < src.size(); ++i)
      src.set(i, random.chance(0.02) ? std::nan("") : static_cast<double>(random.integer(-9, 9)));
    if (src.size() > 0) src.set(0, -0.0);
    cpu::topk(values.view, indices.view, src.view, k);
    for (int64_t row = 0; row < shape[0]; ++row) {
      std::vector<int64_t> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return precedes(src.get(row * n + a), src.get(row * n + b));
      });
      for (int64_t j = 0; j < k; ++j) {
        const int64_t expected = order[static_cast<size_t>(j)];
        CHECK(static_cast<int64_t>(indices.get(row * k + j)) == expected, "k " << k << " n " << n);
        CHECK(close(values.get(row * k + j), src.get(row * n + expected), 0), j);
      }
    }
  }
}

}  // namespace
