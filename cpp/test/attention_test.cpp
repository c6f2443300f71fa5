#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/isas.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Sizes {
  int64_t batch, queries, keys, heads, key_heads, d_head;
};

/// Tensors of one call, and the same call in fp64.
struct Case {
  Case(const Sizes& sizes, Random& random)
      : s(sizes),
        q(random_float_dtype(random), {s.batch, s.queries, s.heads, s.d_head}, random),
        k(random_float_dtype(random), {s.batch, s.keys, s.key_heads, s.d_head}, random),
        v(random_float_dtype(random), {s.batch, s.keys, s.key_heads, s.d_head}, random),
        mask(MONOSEM_INT32, {s.batch, s.keys}, random),
        scores(MONOSEM_FLOAT32, {s.batch, s.heads, s.queries, s.keys}, random),
        out(random_float_dtype(random), {s.batch, s.queries, s.heads, s.d_head}, random) {
    q.fill_normal(random);
    k.fill_normal(random);
    v.fill_normal(random);
    for (int64_t i = 0; i < mask.size(); ++i) mask.set(i, random.chance(0.8));
    a.q = q.view;
    a.k = k.view;
    a.v = v.view;
    a.out = out.view;
    a.scores = scores.view;
    a.scale = 0.3f;
  }

  double score(int64_t b, int64_t n, int64_t i, int64_t j) const {
    const int64_t place = i + s.keys - s.queries;
    if (j > place || (a.window > 0 && j <= place - a.window)) return -kInf;
    if (a.mask.data && mask.get(b * s.keys + j) == 0) return -kInf;
    double sum = 0;
    for (int64_t d = 0; d < s.d_head; ++d)
      sum += q.get(((b * s.queries + i) * s.heads + n) * s.d_head + d) *
             k.get(((b * s.keys + j) * s.key_heads + n / (s.heads / s.key_heads)) * s.d_head + d);
    sum *= double{a.scale};
    return a.softcap > 0 ? double{a.softcap} * std::tanh(sum / double{a.softcap}) : sum;
  }

  void check() const {
    cpu::attention(a);
    cpu::attention_scores(a);
    for (int64_t b = 0; b < s.batch; ++b)
      for (int64_t n = 0; n < s.heads; ++n)
        for (int64_t i = 0; i < s.queries; ++i) check_row(b, n, i);
  }

  void check_row(int64_t b, int64_t n, int64_t i) const {
    std::vector<double> row;
    double largest = -kInf, sum = 0;
    for (int64_t j = 0; j < s.keys; ++j) {
      row.push_back(score(b, n, i, j));
      largest = std::max(largest, row.back());
      const double got = scores.get(((b * s.heads + n) * s.queries + i) * s.keys + j);
      CHECK(close(got, row.back(), 2e-6, 1e-5), "score " << got << ", not " << row.back());
    }
    for (double& x : row) {
      x = largest == -kInf ? 0 : std::exp(x - largest);
      sum += x;
    }
    for (int64_t d = 0; d < s.d_head; ++d) {
      double expected = 0;
      for (int64_t j = 0; j < s.keys; ++j)
        expected +=
            row[static_cast<size_t>(j)] / (sum > 0 ? sum : 1) *
            v.get(((b * s.keys + j) * s.key_heads + n / (s.heads / s.key_heads)) * s.d_head + d);
      const double got = out.get(((b * s.queries + i) * s.heads + n) * s.d_head + d);
      CHECK(close(got, expected, 2e-6 + 1.01 * rounding(out.view.dtype), 3e-6),
            got << ", not " << expected << " at query " << i << " of " << s.queries << ", keys "
                << s.keys << ", d_head " << s.d_head);
    }
  }

  Sizes s;
  Strided q, k, v, mask, scores, out;
  monosem_attention a{};
};

TEST(attention_matches_fp64_over_shapes_strides_and_options) {
  for_each_isa([](const std::string&) {
    Random random(51);
    for (int round = 0; round < 80; ++round) {
      const int64_t key_heads = random.integer(1, 3);
      const int64_t queries = random.chance(0.3) ? 1 : random.integer(1, 30);
      Sizes sizes{random.integer(1, 2),
                  queries,
                  queries + random.integer(0, 40),
                  key_heads * random.integer(1, 3),
                  key_heads,
                  random.integer(1, 40)};
      if (random.chance(0.3)) sizes.d_head = 16 * random.integer(1, 8);
      if (random.chance(0.2)) sizes.keys += 150;
      Case test(sizes, random);
      if (random.chance(0.5)) test.a.mask = test.mask.view;
      if (random.chance(0.3)) test.a.softcap = 2.5f;
      if (random.chance(0.4)) test.a.window = random.integer(1, sizes.keys + 5);
      test.check();
    }
  });
}

TEST(attention_of_long_prompts_and_of_contiguous_caches) {
  Random random(52);
  Case prompt({1, 150, 150, 4, 2, 32}, random);
  prompt.check();
  Case windowed({1, 130, 140, 2, 1, 16}, random);
  windowed.a.window = 20;
  windowed.check();
  // A decode step over a preallocated float32 cache, read where it is.
  Case step({2, 1, 200, 4, 4, 64}, random);
  Strided k(MONOSEM_FLOAT32, {2, 200, 4, 64}), v(MONOSEM_FLOAT32, {2, 200, 4, 64});
  cpu::copy(k.view, step.k.view);
  cpu::copy(v.view, step.v.view);
  step.a.k = k.view;
  step.a.v = v.view;
  step.check();
}

TEST(attention_without_visible_keys_is_zero_and_nan_stays) {
  Random random(53);
  Case hidden({2, 5, 9, 2, 1, 8}, random);
  for (int64_t i = 0; i < 9; ++i) hidden.mask.set(i, 0);
  hidden.a.mask = hidden.mask.view;
  hidden.check();
  CHECK(hidden.out.get(0) == 0, hidden.out.get(0));
  Case more_queries_than_keys({1, 6, 3, 2, 2, 8}, random);
  more_queries_than_keys.check();
  Case no_keys({1, 2, 0, 2, 2, 8}, random);
  no_keys.check();

  Case poisoned({1, 3, 3, 1, 1, 4}, random);
  poisoned.k.set(4, std::nan(""));  // key 1
  cpu::attention(poisoned.a);
  CHECK(!std::isnan(poisoned.out.get(0)), "query 0 does not see key 1");
  CHECK(std::isnan(poisoned.out.get(4)) && std::isnan(poisoned.out.get(8)), poisoned.out.get(4));
}

}  // namespace
