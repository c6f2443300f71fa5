#include <cmath>
#include <vector>

#include "cpu/ops.h"
#include "test/check.h"
#include "test/strided.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

TEST(norm_matches_fp64_with_any_outputs) {
  Random random(41);
  for (int round = 0; round < 200; ++round) {
    const int64_t rows = random.integer(0, 9);
    const int64_t d = random.chance(0.2) ? random.integer(300, 900) : random.integer(1, 40);
    Strided x(random_float_dtype(random), {rows, d}, random);
    Strided out(random_float_dtype(random), {rows, d}, random);
    Strided weight(random_float_dtype(random), {d}, random), bias(random_float_dtype(random), {d});
    Strided scale(MONOSEM_FLOAT32, {rows}, random), normalized(MONOSEM_FLOAT32, {rows, d}, random);
    x.fill_normal(random, 3);
    weight.fill_normal(random);
    bias.fill_normal(random);
    monosem_norm n{};
    n.x = x.view;
    n.kind = random.chance(0.5) ? MONOSEM_LAYER_NORM : MONOSEM_RMS_NORM;
    n.eps = 1e-5f;
    const bool has_weight = random.chance(0.8), has_bias = random.chance(0.5);
    if (has_weight) {
      n.weight = weight.view;
      n.weight_offset = static_cast<float>(random.integer(0, 1));
    }
    if (has_bias) n.bias = bias.view;
    if (random.chance(0.8)) n.out = out.view;
    if (random.chance(0.5)) n.scale = scale.view;
    if (random.chance(0.5)) n.normalized = normalized.view;
    cpu::norm(n);
    for (int64_t r = 0; r < rows; ++r) {
      double mean = 0, variance = 0;
      for (int64_t i = 0; i < d; ++i) mean += x.get(r * d + i) / static_cast<double>(d);
      if (n.kind == MONOSEM_RMS_NORM) mean = 0;
      for (int64_t i = 0; i < d; ++i)
        variance += std::pow(x.get(r * d + i) - mean, 2) / static_cast<double>(d);
      const double by = std::sqrt(variance + double{n.eps});
      if (n.scale.data) CHECK(close(scale.get(r), by, 1e-6), scale.get(r) << ", not " << by);
      for (int64_t i = 0; i < d; ++i) {
        const double normal = (x.get(r * d + i) - mean) / by;
        if (n.normalized.data)
          CHECK(close(normalized.get(r * d + i), normal, 1e-6, 1e-6), normalized.get(r * d + i));
        const double w = has_weight ? weight.get(i) + double{n.weight_offset} : 1;
        const double expected = normal * w + (has_bias ? bias.get(i) : 0);
        if (n.out.data)
          CHECK(close(out.get(r * d + i), expected, 1e-6 + 1.01 * rounding(out.view.dtype),
                      2e-6 * (1 + std::fabs(w))),
                out.get(r * d + i) << ", not " << expected);
      }
    }
  }
}

TEST(norm_of_a_large_mean_keeps_the_variance) {
  Strided x(MONOSEM_FLOAT32, {1, 64}), out(MONOSEM_FLOAT32, {1, 64});
  for (int i = 0; i < 64; ++i) x.set(i, 10000 + i % 2);
  monosem_norm n{};
  n.x = x.view;
  n.out = out.view;
  n.kind = MONOSEM_LAYER_NORM;
  cpu::norm(n);
  CHECK(out.get(0) == -1 && out.get(1) == 1, out.get(0) << ' ' << out.get(1));
}

TEST(rope_turns_pairs_and_passes_the_rest) {
  Random random(42);
  for (int round = 0; round < 100; ++round) {
    const int64_t b = random.integer(1, 3), p = random.integer(0, 6), n = random.integer(1, 4);
    const int64_t half = random.integer(0, 20), d = 2 * half + random.integer(half == 0, 7);
    Strided x(random_float_dtype(random), {b, p, n, d}, random);
    Strided out(random_float_dtype(random), {b, p, n, d}, random);
    Strided cos(MONOSEM_FLOAT32, {10, half}, random), sin(MONOSEM_FLOAT32, {10, half}, random);
    Strided positions(MONOSEM_INT32, {b, p}, random);
    x.fill_normal(random);
    cos.fill_normal(random);
    sin.fill_normal(random);
    for (int64_t i = 0; i < b * p; ++i)
      positions.set(i, static_cast<double>(random.integer(random.chance(0.1) ? -1 : 0, 10)));
    cpu::rope({x.view, out.view, cos.view, sin.view, positions.view});
    for (int64_t i = 0; i < b * p * n * d; ++i) {
      const int64_t j = i % d, row = i - j;
      const auto at = static_cast<int64_t>(positions.get(i / (n * d)));
      double expected = x.get(i);
      if (j < 2 * half) {
        const bool inside = at >= 0 && at < 10;
        const double c = inside ? cos.get(at * half + j % half) : std::nan("");
        const double s = inside ? sin.get(at * half + j % half) : std::nan("");
        expected = j < half ? x.get(i) * c - x.get(row + j + half) * s
                            : x.get(i) * c + x.get(row + j - half) * s;
      }
      CHECK(close(out.get(i), expected, 1e-6 + rounding(out.view.dtype), 2e-6),
            out.get(i) << ", not " << expected);
    }
  }
}

TEST(sae_input_matches_fp64_in_every_mode) {
  Random random(43);
  for (int round = 0; round < 200; ++round) {
    const int64_t tokens = random.integer(0, 9), d = random.integer(2, 300);
    const auto mode = static_cast<int32_t>(random.integer(0, 3));
    Strided x(random_float_dtype(random), {tokens, d}, random);
    Strided b_dec(MONOSEM_FLOAT32, {d}), out(MONOSEM_FLOAT32, {tokens, d});
    Strided stats(MONOSEM_FLOAT32, {tokens, 2});
    x.fill_normal(random, 5);
    b_dec.fill_normal(random);
    const bool centred = random.chance(0.5);
    const bool has_stats = mode == MONOSEM_NORMALIZE_CONSTANT_NORM ||
                           mode == MONOSEM_NORMALIZE_LAYER_NORM || random.chance(0.5);
    cpu::sae_input(x.view, mode, 0.25f, centred ? static_cast<float*>(b_dec.view.data) : nullptr,
                   static_cast<float*>(out.view.data),
                   has_stats ? static_cast<float*>(stats.view.data) : nullptr);
    for (int64_t t = 0; t < tokens; ++t) {
      double mean = 0, squares = 0, deviations = 0;
      for (int64_t i = 0; i < d; ++i) mean += x.get(t * d + i) / static_cast<double>(d);
      for (int64_t i = 0; i < d; ++i) {
        squares += std::pow(x.get(t * d + i), 2);
        deviations += std::pow(x.get(t * d + i) - mean, 2);
      }
      const double deviation = std::sqrt(deviations / static_cast<double>(d - 1));
      const double factor = std::sqrt(static_cast<double>(d) / squares);
      if (mode == MONOSEM_NORMALIZE_CONSTANT_NORM)
        CHECK(close(stats.get(2 * t), factor, 1e-6) && stats.get(2 * t + 1) == 0, stats.get(2 * t));
      if (mode == MONOSEM_NORMALIZE_LAYER_NORM)
        CHECK(close(stats.get(2 * t), deviation, 1e-6) &&
                  close(stats.get(2 * t + 1), mean, 1e-6, 1e-7),
              stats.get(2 * t) << ' ' << stats.get(2 * t + 1));
      for (int64_t i = 0; i < d; ++i) {
        double expected = x.get(t * d + i);
        if (mode == MONOSEM_NORMALIZE_CONSTANT_NORM) expected *= factor;
        if (mode == MONOSEM_NORMALIZE_LAYER_NORM) expected = (expected - mean) / (deviation + 1e-5);
        if (mode == MONOSEM_NORMALIZE_SCALAR) expected *= 0.25;
        if (centred) expected -= b_dec.get(i);
        CHECK(close(out.get(t * d + i), expected, 1e-6, 2e-6), out.get(t * d + i));
      }
    }
  }
}

}  // namespace
