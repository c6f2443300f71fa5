// The row kernels of every instruction set against fp64: values, tails, and errors in units in the
// last place (ulp) over a dense sweep.

#include "cpu/row_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/half.h"
#include "test/check.h"
#include "test/isas.h"
#include "test/random.h"

namespace {

using namespace monosem::test;
using monosem::cpu::row_kernels;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// How many float32 steps (of at least a subnormal) lie between a value and its reference.
double ulps(float value, double reference) {
  const double magnitude = std::max(std::fabs(reference), 0x1p-126);
  return std::fabs(double{value} - reference) / std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

std::vector<float> normals(int64_t n, Random& random) {
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = random.normal();
  return out;
}

double largest_ulps(int32_t op, double low, double high, double (*reference)(double)) {
  constexpr int kPoints = 200001;
  std::vector<float> x(kPoints), y(kPoints);
  for (int i = 0; i < kPoints; ++i)
    x[static_cast<size_t>(i)] = static_cast<float>(low + (high - low) * i / (kPoints - 1));
  row_kernels().unary(op, x.data(), y.data(), kPoints, 0);
  double largest = 0;
  for (size_t i = 0; i < kPoints; ++i)
    largest = std::max(largest, ulps(y[i], reference(double{x[i]})));
  return largest;
}

TEST(row_kernels_are_accurate_to_the_last_places) {
  auto exp = [](double x) { return std::exp(x); };
  auto tanh = [](double x) { return std::tanh(x); };
  auto gelu = [](double x) { return x * 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  auto silu = [](double x) { return x / (1 + std::exp(-x)); };
  auto gelu_tanh = [](double x) {
    return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  for_each_isa([&](const std::string& isa) {
    auto check = [&](const char* name, double error, double bound) {
      CHECK(error <= bound, isa << ' ' << name << " is off by " << error << " ulp");
    };
    check("exp", largest_ulps(MONOSEM_EXP, -104, 88.7, exp), 1.2);
    check("exp near 0", largest_ulps(MONOSEM_EXP, -1, 1, exp), 1.2);
    check("tanh", largest_ulps(MONOSEM_TANH, -10, 10, tanh), 2);
    check("tanh near 0", largest_ulps(MONOSEM_TANH, -0.001, 0.001, tanh), 2);
    check("gelu", largest_ulps(MONOSEM_GELU, -1, 20, gelu), 5);
    check("gelu's tail", largest_ulps(MONOSEM_GELU, -14, -1, gelu), 9);
    check("silu", largest_ulps(MONOSEM_SILU, -80, 30, silu), 3);
    check("gelu_tanh", largest_ulps(MONOSEM_GELU_TANH, -1, 20, gelu_tanh), 3);
    check("gelu_tanh's tail", largest_ulps(MONOSEM_GELU_TANH, -5, -1, gelu_tanh), 35);
  });
}

TEST(row_kernels_handle_every_length) {
  for_each_isa([&](const std::string& isa) {
    Random random(81);
    for (int64_t n = 0; n < 70; ++n) {
      const auto x = normals(n, random), w = normals(n, random), b = normals(n, random);
      // One more than asked for: it must survive.
      std::vector<float> y(x.size() + 1, 7), z(x.size() + 1, 7);
      const auto& kernels = row_kernels();
      auto check = [&](const char* what, auto reference, double tolerance) {
        for (size_t i = 0; i < x.size(); ++i)
          CHECK(std::fabs(double{y[i]} - reference(i)) <= tolerance,
                isa << ' ' << what << ' ' << i);
        CHECK(y.back() == 7, isa << ' ' << what << " wrote past " << n);
      };
      double sum = 0, squares = 0, exps = 0;
      float largest = -kInf;
      for (float v : x) {
        sum += double{v};
        squares += (double{v} - 0.5) * (double{v} - 0.5);
        exps += std::exp(double{v} - 1);
        largest = std::max(largest, v);
      }
      CHECK(std::fabs(kernels.sum(x.data(), n) - sum) < 1e-12, isa << " sum of " << n);
      CHECK(std::fabs(kernels.sum_squares(x.data(), n, 0.5f) - squares) < 1e-5, isa << ' ' << n);
      CHECK(kernels.maximum(x.data(), n) == largest, isa << " maximum of " << n);
      CHECK(std::fabs(kernels.exp_sum(x.data(), y.data(), n, 1) - exps) < 1e-5, isa << ' ' << n);
      check("exp_sum", [&](size_t i) { return std::exp(double{x[i]} - 1); }, 1e-5);
      kernels.standardize(x.data(), y.data(), n, 2, 3);
      check("standardize", [&](size_t i) { return (double{x[i]} - 2) * 3; }, 1e-5);
      kernels.affine(x.data(), w.data(), b.data(), y.data(), n);
      check("affine", [&](size_t i) { return double{x[i]} * double{w[i]} + double{b[i]}; }, 1e-5);
      kernels.affine(x.data(), nullptr, b.data(), y.data(), n);
      check("affine", [&](size_t i) { return double{x[i]} + double{b[i]}; }, 1e-6);
      kernels.binary(MONOSEM_DIV, x.data(), w.data(), y.data(), n);
      check("div", [&](size_t i) { return double{x[i] / w[i]}; }, 0);
      kernels.rotate(x.data(), w.data(), b.data(), b.data(), y.data(), z.data(), n);
      check("rotate", [&](size_t i) { return (double{x[i]} - double{w[i]}) * double{b[i]}; }, 1e-5);
    }
  });
}

TEST(row_kernels_round_to_half_as_one_by_one) {
  for_each_isa([&](const std::string& isa) {
    Random random(82);
    std::vector<float> x(20011);
    for (float& v : x) v = std::bit_cast<float>(static_cast<uint32_t>(random.bits()));
    std::vector<uint16_t> half(x.size()), brain(x.size());
    row_kernels().to_float16(x.data(), half.data(), static_cast<int64_t>(x.size()));
    row_kernels().to_bfloat16(x.data(), brain.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) {
        CHECK(std::isnan(monosem::from_float16(half[i])), isa);
        CHECK(std::isnan(monosem::from_bfloat16(brain[i])), isa);
      } else {
        CHECK(half[i] == monosem::to_float16(x[i]), isa << " float16 of " << x[i]);
        CHECK(brain[i] == monosem::to_bfloat16(x[i]), isa << " bfloat16 of " << x[i]);
      }
    }
  });
}

TEST(row_kernels_find_nan_anywhere) {
  for_each_isa([&](const std::string& isa) {
    for (size_t at = 0; at < 50; ++at) {
      std::vector<float> x(50, 1.0f);
      x[at] = std::nanf("");
      x[49 - at] = at == 25 ? x[49 - at] : kInf;
      CHECK(std::isnan(row_kernels().maximum(x.data(), 50)), isa << " at " << at);
    }
  });
}

}  // namespace
