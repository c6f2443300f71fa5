#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

double unary_reference(int32_t op, double x, double parameter) {
  switch (op) {
    case MONOSEM_NEG:
      return -x;
    case MONOSEM_ABS:
      return std::fabs(x);
    case MONOSEM_SQRT:
      return std::sqrt(x);
    case MONOSEM_EXP:
      return std::exp(x);
    case MONOSEM_LOG:
      return std::log(x);
    case MONOSEM_RELU:
      return x < 0 ? 0 : x;
    case MONOSEM_POW:
      return std::pow(x, parameter);
    case MONOSEM_GELU:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case MONOSEM_GELU_TANH:
      return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case MONOSEM_SILU:
      return x / (1 + std::exp(-x));
    case MONOSEM_TANH:
      return std::tanh(x);
    default:
      return parameter * std::tanh(x / parameter);
  }
}

double binary_reference(int32_t op, double a, double b) {
  switch (op) {
    case MONOSEM_ADD:
      return a + b;
    case MONOSEM_SUB:
      return a - b;
    case MONOSEM_MUL:
      return a * b;
    case MONOSEM_DIV:
      return a / b;
    case MONOSEM_GT:
      return a > b;
    case MONOSEM_LT:
      return a < b;
    default:
      return a == b;
  }
}

TEST(unary_matches_fp64_over_strides_and_dtypes) {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    const auto op = static_cast<int32_t>(random.integer(MONOSEM_NEG, MONOSEM_SOFTCAP));
    const float parameter = op == MONOSEM_POW ? static_cast<float>(random.integer(-1, 3)) : 30.0f;
    const Shape shape = random_shape(random, static_cast<int>(random.integer(0, 4)), 12);
    Strided src(random_float_dtype(random), shape, random);
    Strided dst(random_float_dtype(random), shape, random);
    src.fill_normal(random, 4);
    cpu::unary(op, dst.view, src.view, parameter);
    for (int64_t i = 0; i < src.size(); ++i) {
      double expected = unary_reference(op, src.get(i), static_cast<double>(parameter));
      if (dst.view.dtype == MONOSEM_FLOAT16 && std::fabs(expected) >= 65520)
        expected = std::copysign(std::numeric_limits<double>::infinity(), expected);
      CHECK(close(dst.get(i), expected, 2e-6 + 1.01 * rounding(dst.view.dtype), 6e-8),
            "op " << op << " of " << src.get(i) << " gave " << dst.get(i) << ", not " << expected);
    }
  }
}

TEST(unary_keeps_nan_and_infinities) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  Strided src(MONOSEM_FLOAT32, {4}), dst(MONOSEM_FLOAT32, {4});
  src.set(0, nan);
  src.set(1, inf);
  src.set(2, -inf);
  auto check = [&](int32_t op, double at_inf, double at_minus_inf) {
    cpu::unary(op, dst.view, src.view, 2.0f);
    CHECK(std::isnan(dst.get(0)) && close(dst.get(1), at_inf, 0) &&
              close(dst.get(2), at_minus_inf, 0),
          "op " << op << ": " << dst.get(0) << ' ' << dst.get(1) << ' ' << dst.get(2));
  };
  check(MONOSEM_EXP, inf, 0);
  check(MONOSEM_TANH, 1, -1);
  check(MONOSEM_RELU, inf, 0);
  check(MONOSEM_SOFTCAP, 2, -2);
  check(MONOSEM_LOG, inf, nan);
  // x times an exact 0, as in PyTorch.
  check(MONOSEM_SILU, inf, nan);
  check(MONOSEM_GELU, inf, nan);
  check(MONOSEM_GELU_TANH, inf, nan);
}

TEST(unary_at_the_points_of_the_model_specification) {
  // Values of PyTorch, whose float32 erf is off by 5e-7 at -3.
  const std::vector<double> at{-3, -1, -0.5, 0, 0.5, 1, 3};
  auto check = [&](int32_t op, const std::vector<double>& expected) {
    Strided src(MONOSEM_FLOAT32, {7}), dst(MONOSEM_FLOAT32, {7});
    for (int i = 0; i < 7; ++i) src.set(i, at[static_cast<size_t>(i)]);
    cpu::unary(op, dst.view, src.view, 0);
    for (int i = 0; i < 7; ++i)
      CHECK(close(dst.get(i), expected[static_cast<size_t>(i)], 2e-7, 6e-7), dst.get(i));
  };
  check(MONOSEM_GELU,
        {-0.00405022502, -0.158655256, -0.154268771, 0, 0.345731229, 0.841344714, 2.99594975});
  check(MONOSEM_GELU_TANH,
        {-0.00363743305, -0.158807993, -0.154285997, 0, 0.345714003, 0.841192007, 2.99636269});
  check(MONOSEM_SILU,
        {-0.142277613, -0.268941432, -0.188770339, 0, 0.31122968, 0.731058598, 2.85772252});
}

TEST(binary_broadcasts_over_strides_and_dtypes) {
  Random random(12);
  for (int round = 0; round < 300; ++round) {
    const auto op = static_cast<int32_t>(random.integer(MONOSEM_ADD, MONOSEM_EQ));
    const Shape shape = random_shape(random, static_cast<int>(random.integer(0, 4)), 12);
    auto operand = [&](monosem_view& view) {
      Shape reduced = shape;
      for (auto& extent : reduced)
        if (random.chance(0.3)) extent = std::min<int64_t>(extent, 1);
      auto tensor = std::make_unique<Strided>(random_float_dtype(random), reduced, random);
      tensor->fill_normal(random);
      view = tensor->view;
      for (size_t d = 0; d < shape.size(); ++d) {
        if (view.shape[d] != shape[d]) view.stride[d] = 0;
        view.shape[d] = shape[d];
      }
      return tensor;
    };
    monosem_view a, b;
    auto left = operand(a), right = operand(b);
    Strided dst(random_float_dtype(random), shape, random);
    Strided wide_a(MONOSEM_FLOAT32, shape), wide_b(MONOSEM_FLOAT32, shape);
    cpu::copy(wide_a.view, a);
    cpu::copy(wide_b.view, b);
    cpu::binary(op, dst.view, a, b);
    for (int64_t i = 0; i < dst.size(); ++i) {
      const double expected = binary_reference(op, wide_a.get(i), wide_b.get(i));
      CHECK(close(dst.get(i), expected, 1e-7 + rounding(dst.view.dtype), 3e-8),
            "op " << op << ": " << dst.get(i) << ", not " << expected);
    }
  }
}

TEST(binary_of_integers_is_exact) {
  Strided a(MONOSEM_INT32, {3}), b(MONOSEM_INT32, {3}), integers(MONOSEM_INT32, {3});
  Strided floats(MONOSEM_FLOAT32, {3});
  for (auto [i, x, y] : {std::array<double, 3>{0, 16777217, 16777216},
                         {1, 2147483647, 1},
                         {2, -2147483647, -2147483647}}) {
    a.set(static_cast<int64_t>(i), x);
    b.set(static_cast<int64_t>(i), y);
  }
  cpu::binary(MONOSEM_EQ, floats.view, a.view, b.view);
  CHECK((floats.values() == std::vector<double>{0, 0, 1}), floats.get(0));
  cpu::binary(MONOSEM_GT, integers.view, a.view, b.view);
  CHECK((integers.values() == std::vector<double>{1, 1, 0}), integers.get(0));
  cpu::binary(MONOSEM_ADD, integers.view, a.view, b.view);
  CHECK((integers.values() == std::vector<double>{33554433, 2147483647, -2147483648.0}),
        integers.get(0));
}

}  // namespace
