#include <cmath>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

TEST(gather_rows_copies_and_marks_what_is_out_of_range) {
  Random random(31);
  for (int round = 0; round < 100; ++round) {
    const int64_t vocabulary = random.integer(1, 30), n = random.integer(0, 20);
    const int64_t d = random.chance(0.1) ? 3000 : random.integer(0, 30);
    Strided src(random_float_dtype(random), {vocabulary, d}, random);
    Strided dst(random_float_dtype(random), {n, d}, random), rows(MONOSEM_INT32, {n}, random);
    src.fill_normal(random);
    for (int64_t i = 0; i < n; ++i)
      rows.set(i, static_cast<double>(random.integer(-1, vocabulary)));
    cpu::gather_rows(dst.view, src.view, rows.view);
    for (int64_t i = 0; i < n * d; ++i) {
      const auto from = static_cast<int64_t>(rows.get(i / d));
      const bool inside = from >= 0 && from < vocabulary;
      const double expected = inside ? src.get(from * d + i % d) : std::nan("");
      CHECK(close(dst.get(i), expected, rounding(dst.view.dtype), 3e-8), dst.get(i));
    }
  }
}

TEST(gather_and_scatter_add_by_column) {
  Random random(32);
  for (int round = 0; round < 100; ++round) {
    const int64_t rows = random.integer(0, 8), width = random.integer(1, 30);
    const int64_t k = random.integer(0, width);
    Strided src(random_float_dtype(random), {rows, width}, random);
    Strided columns(MONOSEM_INT32, {rows, k}, random);
    src.fill_normal(random);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < k; ++j)
        columns.set(i * k + j,
                    static_cast<double>(j == 0 && random.chance(0.2) ? -1 : width - 1 - j));

    Strided picked(random_float_dtype(random), {rows, k}, random);
    cpu::gather(picked.view, src.view, columns.view);
    Strided sums(random_float_dtype(random), {rows, width}, random);
    sums.fill_normal(random);
    auto expected = sums.values();
    for (int64_t i = 0; i < rows * k; ++i) {
      const auto column = static_cast<int64_t>(columns.get(i));
      const double value = column < 0 ? std::nan("") : src.get(i / k * width + column);
      CHECK(close(picked.get(i), value, rounding(picked.view.dtype), 3e-8), picked.get(i));
    }
    Strided added(random_float_dtype(random), {rows, k}, random);
    added.fill_normal(random);
    cpu::scatter_add(sums.view, added.view, columns.view);
    for (int64_t i = 0; i < rows * k; ++i) {
      const auto column = static_cast<int64_t>(columns.get(i));
      if (column >= 0) expected[static_cast<size_t>(i / k * width + column)] += added.get(i);
    }
    for (int64_t i = 0; i < rows * width; ++i)
      CHECK(close(sums.get(i), expected[static_cast<size_t>(i)], 1e-7 + rounding(sums.view.dtype),
                  1e-7),
            sums.get(i));
  }
}

}  // namespace
