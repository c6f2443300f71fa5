// The CUDA backend's tensor operators against plain fp64, with random strides and dtypes.

#include <algorithm>
#include <cmath>
#include <limits>

#include "test/cuda_device.h"

namespace {

using namespace monosem::test;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double unary_reference(int32_t op, double x, double p) {
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
      return x <= 0 ? 0 : x;
    case MONOSEM_POW:
      return std::pow(x, p);
    case MONOSEM_GELU:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case MONOSEM_GELU_TANH:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case MONOSEM_SILU:
      return x / (1 + std::exp(-x));
    case MONOSEM_TANH:
      return std::tanh(x);
    default:
      return p * std::tanh(x / p);
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

// Larger first, NaN largest, ties by index.
std::vector<int64_t> descending(const std::vector<double>& row) {
  std::vector<int64_t> order(row.size());
  for (size_t i = 0; i < row.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const bool a_nan = std::isnan(row[a]), b_nan = std::isnan(row[b]);
    return a_nan != b_nan ? a_nan : row[a] > row[b];
  });
  return order;
}

}  // namespace

TEST(cuda_copy_converts_and_keeps_int32) {
  for_each_schedule([](const std::string& what) {
    Random random(31);
    for (int round = 0; round < 40; ++round) {
      const Shape shape = random_shape(random, static_cast<int>(random.integer(0, 5)), 9);
      Strided from(static_cast<int32_t>(random.integer(0, 3)), shape, random);
      Strided to(static_cast<int32_t>(random.integer(0, 3)), shape, random);
      from.fill_normal(random, 5);
      if (from.view.dtype == MONOSEM_INT32 && to.view.dtype == MONOSEM_INT32 && from.size() > 0) {
        from.set(0, 16777217);  // no float32
      }
      RemoteView src(from), dst(to);
      ok(cuda_table().copy(cuda_handle(), &dst.view, &src.view));
      dst.back();
      for (int64_t i = 0; i < from.size(); ++i) {
        const double want = to.view.dtype == MONOSEM_INT32 ? std::trunc(from.get(i)) : from.get(i);
        CHECK(close(to.get(i), want, rounding(to.view.dtype), 1e-7),
              what << " element " << i << ": " << to.get(i) << ", not " << want);
      }
    }
  });
}

TEST(cuda_fill_and_randn_reach_every_element) {
  for_each_schedule([](const std::string& what) {
    Random random(32);
    for (int round = 0; round < 10; ++round) {
      Strided host(static_cast<int32_t>(random.integer(0, 3)), random_shape(random, 3, 9), random);
      RemoteView dst(host);
      ok(cuda_table().fill(cuda_handle(), &dst.view, 3));
      dst.back();
      for (int64_t i = 0; i < host.size(); ++i) CHECK(host.get(i) == 3, what << ' ' << host.get(i));
    }
    Strided host(MONOSEM_FLOAT32, {40, 50}), again(MONOSEM_FLOAT32, {40, 50}, random);
    for (auto [strided, seed] : {std::pair(&host, 5), {&again, 5}}) {
      RemoteView dst(*strided);
      ok(cuda_table().randn(cuda_handle(), &dst.view, static_cast<uint64_t>(seed)));
      dst.back();
    }
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < host.size(); ++i) {
      CHECK(host.get(i) == again.get(i), what << " the layout changed the numbers");
      sum += host.get(i);
      squares += host.get(i) * host.get(i);
    }
    CHECK(std::fabs(sum / 2000) < 0.1 && std::fabs(squares / 2000 - 1) < 0.15,
          what << " mean " << sum / 2000 << " variance " << squares / 2000);
  });
}

TEST(cuda_unary_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(33);
    for (int32_t op = MONOSEM_NEG; op <= MONOSEM_SOFTCAP; ++op) {
      const Shape shape = random_shape(random, 2, 30);
      Strided from(random_float_dtype(random), shape, random);
      Strided to(random_float_dtype(random), shape, random);
      from.fill_normal(random, 2);
      if (from.size() > 2) {
        from.set(0, kNaN);
        from.set(1, op == MONOSEM_POW ? 2 : -kInfinity);
      }
      RemoteView src(from), dst(to);
      ok(cuda_table().unary(cuda_handle(), op, &dst.view, &src.view, 3.0f));
      dst.back();
      for (int64_t i = 0; i < from.size(); ++i) {
        const double want = unary_reference(op, from.get(i), 3.0);
        if (op >= MONOSEM_GELU && std::isinf(from.get(i))) continue;  // -inf * 0
        CHECK(
            close(to.get(i), want, 4e-6 + rounding(to.view.dtype), 2e-6),
            what << " op " << op << " of " << from.get(i) << ": " << to.get(i) << ", not " << want);
      }
    }
  });
}

TEST(cuda_binary_broadcasts) {
  for_each_schedule([](const std::string& what) {
    Random random(34);
    for (int32_t op = MONOSEM_ADD; op <= MONOSEM_EQ; ++op) {
      const Shape shape = {random.integer(1, 6), random.integer(1, 7), random.integer(1, 40)};
      Strided a(random_float_dtype(random), shape, random), b(MONOSEM_FLOAT32, {1, 1, shape[2]});
      Strided to(random_float_dtype(random), shape, random);
      a.fill_normal(random);
      b.fill_normal(random);
      if (op == MONOSEM_EQ) a.set(0, b.get(0));
      RemoteView left(a), right(b), dst(to);
      for (int d = 0; d < 2; ++d) {
        right.view.shape[d] = shape[static_cast<size_t>(d)];
        right.view.stride[d] = 0;
      }
      ok(cuda_table().binary(cuda_handle(), op, &dst.view, &left.view, &right.view));
      dst.back();
      for (int64_t i = 0; i < a.size(); ++i) {
        const double want = binary_reference(op, a.get(i), b.get(i % shape[2]));
        CHECK(close(to.get(i), want, 1e-6 + rounding(to.view.dtype), 1e-7),
              what << " op " << op << ": " << to.get(i) << ", not " << want);
      }
    }
  });
}

TEST(cuda_reduce_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(35);
    for (const Shape& shape : {Shape{3, 1000, 1}, {2, 7, 5}, {4, 40, 33}, {1, 1, 1}, {5, 64, 3}}) {
      for (int32_t op = MONOSEM_SUM; op <= MONOSEM_ARGMAX; ++op) {
        Strided from(random_float_dtype(random), shape, random);
        Strided to(op == MONOSEM_ARGMAX ? MONOSEM_INT32 : random_float_dtype(random),
                   {shape[0], shape[2]}, random);
        from.fill_normal(random);
        if (from.size() > 100 && op >= MONOSEM_MAX && random.chance(0.5)) from.set(57, kNaN);
        RemoteView src(from), dst(to);
        ok(cuda_table().reduce(cuda_handle(), op, &dst.view, &src.view));
        dst.back();
        for (int64_t outer = 0; outer < shape[0]; ++outer) {
          for (int64_t inner = 0; inner < shape[2]; ++inner) {
            std::vector<double> row;
            double sum = 0, squares = 0;
            for (int64_t n = 0; n < shape[1]; ++n) {
              row.push_back(from.get((outer * shape[1] + n) * shape[2] + inner));
              sum += row.back();
              squares += row.back() * row.back();
            }
            const int64_t first = descending(row)[0];
            const double want = op == MONOSEM_SUM     ? sum
                                : op == MONOSEM_MEAN  ? sum / static_cast<double>(shape[1])
                                : op == MONOSEM_MAX   ? row[first]
                                : op == MONOSEM_NORM2 ? std::sqrt(squares)
                                                      : static_cast<double>(first);
            const double got = to.get(outer * shape[2] + inner);
            CHECK(close(got, want, 1e-5 + rounding(to.view.dtype), 1e-4),
                  what << " op " << op << ": " << got << ", not " << want);
          }
        }
      }
    }
  });
}

TEST(cuda_softmax_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(36);
    for (int64_t n : {1, 7, 300}) {
      for (int32_t logarithm : {0, 1}) {
        Strided from(random_float_dtype(random), {5, n}, random),
            to(MONOSEM_FLOAT32, {5, n}, random);
        from.fill_normal(random, 4);
        if (n > 7) from.set(3, -kInfinity);
        RemoteView src(from), dst(to);
        ok(cuda_table().softmax(cuda_handle(), &dst.view, &src.view, logarithm));
        dst.back();
        for (int64_t row = 0; row < 5; ++row) {
          double sum = 0;
          for (int64_t i = 0; i < n; ++i) sum += std::exp(from.get(row * n + i));
          for (int64_t i = 0; i < n; ++i) {
            const double x = from.get(row * n + i);
            const double want = logarithm ? x - std::log(sum) : std::exp(x) / sum;
            CHECK(close(to.get(row * n + i), want, 1e-5, 1e-5), what << ' ' << to.get(row * n + i));
          }
        }
      }
    }
  });
}

TEST(cuda_topk_orders_ties_and_nan) {
  for_each_schedule([](const std::string& what) {
    Random random(37);
    for (int64_t n : {1, 5, 33, 700}) {
      for (int64_t k : {int64_t{1}, n / 2, n}) {
        if (k == 0) continue;
        Strided from(random_float_dtype(random), {4, n}, random);
        Strided values(from.view.dtype, {4, k}, random), indices(MONOSEM_INT32, {4, k}, random);
        from.fill_normal(random);
        // Ties of a few values, signed zeros and NaN.
        for (int64_t i = 0; i < n / 2; ++i) from.set(i, static_cast<double>(random.integer(-2, 2)));
        if (n > 30) {
          from.set(n + 3, kNaN);
          from.set(n + 9, kNaN);
          from.set(2, -0.0);
        }
        RemoteView src(from), best(values), places(indices);
        ok(cuda_table().topk(cuda_handle(), &best.view, &places.view, &src.view, k));
        best.back();
        places.back();
        for (int64_t row = 0; row < 4; ++row) {
          std::vector<double> all;
          for (int64_t i = 0; i < n; ++i) all.push_back(from.get(row * n + i));
          const std::vector<int64_t> order = descending(all);
          for (int64_t i = 0; i < k; ++i) {
            CHECK(indices.get(row * k + i) == order[i],
                  what << " n " << n << " k " << k << " place " << i << ": "
                       << indices.get(row * k + i) << ", not " << order[i]);
            CHECK(close(values.get(row * k + i), all[order[i]], 0), what);
          }
        }
      }
    }
  });
}

TEST(cuda_gather_and_scatter) {
  for_each_schedule([](const std::string& what) {
    Random random(38);
    Strided table(MONOSEM_BFLOAT16, {11, 37}, random), rows(MONOSEM_INT32, {6}, random);
    Strided picked(MONOSEM_FLOAT32, {6, 37}, random);
    table.fill_normal(random);
    for (int64_t i = 0; i < 6; ++i) rows.set(i, random.integer(0, 10));
    rows.set(4, 11);
    RemoteView src(table), which(rows), dst(picked);
    ok(cuda_table().gather_rows(cuda_handle(), &dst.view, &src.view, &which.view));
    dst.back();
    for (int64_t i = 0; i < 6 * 37; ++i) {
      const double want = i / 37 == 4 ? kNaN : table.get(rows.get(i / 37) * 37 + i % 37);
      CHECK(close(picked.get(i), want, 0), what << ' ' << i << ' ' << picked.get(i));
    }

    Strided columns(MONOSEM_INT32, {11, 3}, random), some(MONOSEM_FLOAT32, {11, 3}, random);
    for (int64_t i = 0; i < 33; ++i) columns.set(i, static_cast<double>(i * 5 % 37));
    RemoteView at(columns), taken(some);
    ok(cuda_table().gather(cuda_handle(), &taken.view, &src.view, &at.view));
    taken.back();
    for (int64_t i = 0; i < 33; ++i) {
      CHECK(some.get(i) == table.get(i / 3 * 37 + columns.get(i)), what << ' ' << i);
    }

    Strided sums(MONOSEM_FLOAT32, {11, 37}, random);
    sums.fill_normal(random);
    const std::vector<double> before = sums.values();
    RemoteView into(sums);
    ok(cuda_table().scatter_add(cuda_handle(), &into.view, &taken.view, &at.view));
    into.back();
    std::vector<double> want = before;
    for (int64_t i = 0; i < 33; ++i) {
      want[static_cast<size_t>(i / 3 * 37) + static_cast<size_t>(columns.get(i))] += some.get(i);
    }
    for (size_t i = 0; i < want.size(); ++i) {
      CHECK(close(sums.get(static_cast<int64_t>(i)), want[i], 1e-6, 1e-7), what << ' ' << i);
    }
  });
}

TEST(cuda_gemm_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(39);
    for (const auto& [batch, m, n, k] :
         {std::tuple{1, 1, 1, 1}, {2, 3, 65, 17}, {1, 70, 5, 130}, {3, 64, 64, 16}, {1, 9, 4, 0}}) {
      Strided a(random_float_dtype(random), {batch, m, k}, random);
      Strided b(random_float_dtype(random), {batch, k, n}, random);
      Strided c(MONOSEM_FLOAT32, {batch, m, n}, random);
      a.fill_normal(random);
      b.fill_normal(random);
      std::vector<float> bias(static_cast<size_t>(n));
      for (float& value : bias) value = random.normal();
      const Remote device_bias(bias);
      RemoteView left(a), right(b), out(c);
      const monosem_gemm product{left.view, right.view,  out.view, device_bias.floats(),
                                 0.5f,      MONOSEM_RELU};
      ok(cuda_table().gemm(cuda_handle(), &product));
      out.back();
      for (int64_t i = 0; i < c.size(); ++i) {
        const int64_t z = i / (int64_t{m} * n), row = i / n % m, column = i % n;
        double sum = 0;
        for (int64_t e = 0; e < k; ++e) {
          sum += a.get((z * m + row) * k + e) * b.get((z * k + e) * n + column);
        }
        const double want = std::max(0.0, 0.5 * sum + bias[static_cast<size_t>(column)]);
        CHECK(close(c.get(i), want, 1e-5, 2e-5), what << ' ' << c.get(i) << ", not " << want);
      }
    }
  });
}
