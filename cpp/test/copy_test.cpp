#include <array>
#include <cmath>
#include <limits>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

double converted(double value, int32_t to) {
  Strided one(to, {});
  if (to == MONOSEM_INT32) return std::trunc(value);
  one.set(0, value);
  return one.get(0);
}

TEST(copy_converts_any_strides_and_dtypes) {
  Random random(1);
  for (int round = 0; round < 400; ++round) {
    const auto rank = static_cast<int>(random.integer(0, MONOSEM_MAX_RANK));
    const Shape shape = random_shape(random, rank, rank > 4 ? 3 : 9);
    Strided src(static_cast<int32_t>(random.integer(0, 3)), shape, random);
    Strided dst(static_cast<int32_t>(random.integer(0, 3)), shape, random);
    src.fill_normal(random, 30);
    cpu::copy(dst.view, src.view);
    for (int64_t i = 0; i < src.size(); ++i)
      CHECK(dst.get(i) == converted(src.get(i), dst.view.dtype),
            src.view.dtype << " to " << dst.view.dtype << ": " << src.get(i) << " became "
                           << dst.get(i));
  }
}

TEST(copy_transposes_planes_of_any_size) {
  Random random(2);
  for (int32_t from = 0; from < 4; ++from) {
    for (int32_t to = 0; to < 4; ++to) {
      for (auto [batch, rows, columns] :
           {std::array<int64_t, 3>{1, 8, 8}, {2, 65, 130}, {3, 200, 17}, {1, 1100, 70}}) {
        Strided src(from, {batch, columns, rows});
        src.fill_normal(random, 20);
        monosem_view turned = src.view;
        std::swap(turned.shape[1], turned.shape[2]);
        std::swap(turned.stride[1], turned.stride[2]);
        Strided dst(to, {batch, rows, columns});
        cpu::copy(dst.view, turned);
        for (int64_t i = 0; i < dst.size(); ++i) {
          const int64_t b = i / (rows * columns), r = i / columns % rows, c = i % columns;
          const double value = src.get((b * columns + c) * rows + r);
          CHECK(dst.get(i) == converted(value, to), from << " to " << to << " at " << i);
        }
      }
    }
  }
}

TEST(copy_keeps_every_bit_of_integers_and_rounds_halves_to_even) {
  Strided big(MONOSEM_INT32, {2}), copied(MONOSEM_INT32, {2});
  big.set(0, 2147483647);
  big.set(1, -2147483647);
  cpu::copy(copied.view, big.view);
  CHECK(copied.values() == big.values(), copied.get(0));

  // Every float16 and bfloat16 there and back, NaN apart; then halfway cases by neighbours.
  for (int32_t dtype : {MONOSEM_FLOAT16, MONOSEM_BFLOAT16}) {
    Strided bits(dtype, {65536}), wide(MONOSEM_FLOAT32, {65536}), back(dtype, {65536});
    auto* raw = static_cast<uint16_t*>(bits.view.data);
    for (int i = 0; i < 65536; ++i) raw[i] = static_cast<uint16_t>(i);
    cpu::copy(wide.view, bits.view);
    cpu::copy(back.view, wide.view);
    for (int i = 0; i < 65536; ++i) {
      const double value = bits.get(i);
      CHECK(std::isnan(value) ? std::isnan(wide.get(i)) && std::isnan(back.get(i))
                              : wide.get(i) == value && back.get(i) == value,
            i);
    }
    Strided middle(MONOSEM_FLOAT32, {30000}), rounded(dtype, {30000});
    for (int i = 0; i < 30000; ++i) middle.set(i, (bits.get(i) + bits.get(i + 1)) / 2);
    cpu::copy(rounded.view, middle.view);
    const auto* nearest = static_cast<const uint16_t*>(rounded.view.data);
    for (int i = 0; i < 30000; ++i)
      CHECK(nearest[i] == i + i % 2, dtype << ": " << i << " and a half became " << nearest[i]);
  }
}

TEST(fill_and_conversion_to_integers_saturate) {
  Strided integers(MONOSEM_INT32, {3}), floats(MONOSEM_FLOAT32, {3});
  floats.set(0, 1e20);
  floats.set(1, -1e20);
  floats.set(2, std::nan(""));
  cpu::copy(integers.view, floats.view);
  CHECK(integers.get(0) == 2147483647 && integers.get(1) == -2147483648.0 && integers.get(2) == 0,
        integers.get(0));
  Random random(3);
  for (int32_t dtype = 0; dtype < 4; ++dtype) {
    Strided some(dtype, {5, 3, 7}, random);
    cpu::fill(some.view, -7);
    for (double value : some.values()) CHECK(value == -7, value);
  }
}

TEST(randn_depends_on_seed_and_place_alone) {
  Random random(4);
  Strided straight(MONOSEM_FLOAT32, {50, 31, 70}), twisted(MONOSEM_FLOAT32, {50, 31, 70}, random);
  cpu::randn(straight.view, 9);
  cpu::randn(twisted.view, 9);
  CHECK(straight.values() == twisted.values(), "strides changed the numbers");
  double sum = 0, squares = 0, fourth = 0;
  for (double v : straight.values()) {
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
  }
  const double n = static_cast<double>(straight.size());
  CHECK(std::fabs(sum / n) < 0.015, sum / n);
  CHECK(std::fabs(squares / n - 1) < 0.02, squares / n);
  CHECK(std::fabs(fourth / n - 3) < 0.15, fourth / n);
  cpu::randn(twisted.view, 10);
  CHECK(straight.values() != twisted.values(), "the seed changed nothing");
}

}  // namespace
