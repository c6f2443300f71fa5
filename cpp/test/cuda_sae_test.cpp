// The SAE's operators on the CUDA backend against fp64: input, encode, decode.

#include <cmath>
#include <limits>

#include "test/cuda_sae.h"

namespace {

using namespace monosem::test;

constexpr Kind kKinds[] = {Kind::kRelu, Kind::kJumpRelu, Kind::kGated, Kind::kTopK};

}  // namespace

TEST(cuda_sae_encode_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(51);
    for (Kind kind : kKinds) {
      for (const auto& [tokens, d_in, d_sae] :
           {std::tuple{0, 5, 9}, {1, 1, 1}, {3, 7, 130}, {17, 48, 65}, {130, 7, 40}}) {
        SaeCase sae(kind, d_in, d_sae, random_float_dtype(random), random);
        RemoteSae remote(sae);
        const std::vector<float> x = random_tokens(tokens, d_in, random);
        monosem_sae_stats stats{};
        HostCsr acts = remote.encode(x, tokens, &stats);
        check_encode(sae, x, tokens, acts.view(),
                     what + " kind " + std::to_string(static_cast<int>(kind)) + ", " +
                         std::to_string(tokens) + " x " + std::to_string(d_in) + " x " +
                         std::to_string(d_sae),
                     4e-6);
        CHECK(stats.tokens == tokens && stats.path[0] != '\0', what);
      }
    }
  });
}

TEST(cuda_sae_encode_matches_fp64_on_long_rows_and_full_tiles) {
  Random random(52);
  for (const auto& [kind, tokens, d_in, d_sae] : {std::tuple{Kind::kJumpRelu, 5, 2304, 150},
                                                  {Kind::kGated, 60, 768, 140},
                                                  {Kind::kTopK, 129, 70, 260},
                                                  {Kind::kRelu, 49, 33, 1000}}) {
    for (int32_t dtype : {MONOSEM_FLOAT32, MONOSEM_BFLOAT16}) {
      SaeCase sae(kind, d_in, d_sae, dtype, random);
      RemoteSae remote(sae);
      const std::vector<float> x = random_tokens(tokens, d_in, random);
      HostCsr acts = remote.encode(x, tokens);
      check_encode(
          sae, x, tokens, acts.view(),
          std::to_string(tokens) + " x " + std::to_string(d_in) + " x " + std::to_string(d_sae),
          4e-6);
    }
  }
}

TEST(cuda_sae_encode_keeps_float32_grade_over_wide_ranges) {
  // Tokens and features of very different sizes, and elements far below their row's largest.
  Random random(53);
  SaeCase sae(Kind::kRelu, 300, 90, MONOSEM_FLOAT32, random);
  std::vector<float> x = random_tokens(20, 300, random);
  for (int64_t i = 0; i < sae.w.size(); ++i) {
    sae.w.set(i, sae.w.get(i) * std::exp2(static_cast<double>(i % 90 / 3 - 15)));
  }
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] *= static_cast<float>(std::exp2(static_cast<double>(i / 300) * 3 - 30));
    if (i % 7 == 0) x[i] *= 1e-6f;
    if (i % 300 == 11) x[i] *= 2000.0f;  // a massive activation
  }
  RemoteSae remote(sae);
  HostCsr acts = remote.encode(x, 20);
  const std::vector<double> w = sae.w.values();
  for (int64_t t = 0; t < 20; ++t) {
    for (uint32_t i = acts.row_offsets[t]; i < acts.row_offsets[t + 1]; ++i) {
      const uint32_t f = acts.indices[i];
      double sum = sae.bias[f], size = std::fabs(sum);
      for (int64_t d = 0; d < 300; ++d) {
        const double product = static_cast<double>(x[t * 300 + d]) * w[d * 90 + f];
        sum += product;
        size += std::fabs(product);
      }
      CHECK(std::fabs(acts.values[i] - sum) <= 1e-6 * size,
            "token " << t << " feature " << f << ": " << acts.values[i] << ", not " << sum
                     << ", of terms of " << size);
    }
  }
}

TEST(cuda_sae_encode_runs_again_what_overflows) {
  for_each_schedule([](const std::string& what) {
    Random random(54);
    SaeCase sae(Kind::kRelu, 9, 700, MONOSEM_FLOAT32, random);
    // Tokens 3 and 50 activate everything, the others little.
    for (float& bias : sae.bias) bias -= 2.0f;
    sae.gate_bias = sae.bias;
    for (int64_t f = 0; f < 700; ++f) sae.w.set(f, 1.0);  // dimension 0
    std::vector<float> x = random_tokens(60, 9, random);
    for (int64_t t = 0; t < 60; ++t) x[t * 9] = t == 3 || t == 50 ? 20.0f : 0.0f;
    RemoteSae remote(sae);
    for (int round = 0; round < 2; ++round) {  // with the first room, and with what it taught
      HostCsr acts = remote.encode(x, 60);
      CHECK(acts.row_offsets[4] - acts.row_offsets[3] == 700, what);
      check_encode(sae, x, 60, acts.view(), what, 4e-6);
    }
  });
}

TEST(cuda_sae_encode_top_k_survives_wrong_floors) {
  for_each_schedule([](const std::string& what) {
    Random random(55);
    SaeCase sae(Kind::kTopK, 6, 1500, MONOSEM_FLOAT16, random);
    sae.k = 9;
    RemoteSae remote(sae);
    // Learns a floor from random tokens, then meets tokens along one feature (few values above the
    // floor), tokens that raise everything (too many), and tokens with fewer than k positive.
    std::vector<float> x = random_tokens(40, 6, random);
    HostCsr first = remote.encode(x, 40);
    check_encode(sae, x, 40, first.view(), what + " learning", 4e-6);
    for (int64_t t = 0; t < 40; ++t) {
      for (int64_t d = 0; d < 6; ++d) {
        const double along = sae.w.get(d * 1500 + t);
        x[t * 6 + d] = static_cast<float>(t % 4 == 0   ? along * 30
                                          : t % 4 == 1 ? along * 0.01
                                                       : x[t * 6 + d]);
      }
    }
    monosem_sae_stats stats{};
    HostCsr second = remote.encode(x, 40, &stats);
    check_encode(sae, x, 40, second.view(), what + " surprised", 4e-6);
    CHECK(stats.candidates >= stats.active && stats.active <= 9, what << ' ' << stats.candidates);
    CHECK(remote.encode(x, 40) == second, what << ": another floor gave other bits");
  });
}

TEST(cuda_sae_encode_does_not_depend_on_the_batch_or_the_schedule) {
  Random random(56);
  for (Kind kind : {Kind::kGated, Kind::kTopK}) {
    SaeCase sae(kind, 40, 300, MONOSEM_FLOAT32, random);
    RemoteSae remote(sae);
    const std::vector<float> x = random_tokens(52, 40, random);
    const HostCsr all = remote.encode(x, 52);
    for_each_schedule([&](const std::string& what) {
      CHECK(remote.encode(x, 52) == all, what << " changed bits");
    });
    for (int64_t t : {0, 17, 51}) {
      const HostCsr one = remote.encode({x.begin() + t * 40, x.begin() + (t + 1) * 40}, 1);
      const uint32_t from = all.row_offsets[t], count = all.row_offsets[t + 1] - from;
      CHECK(one.values.size() == count, "token " << t << " alone has " << one.values.size());
      CHECK(std::equal(one.values.begin(), one.values.end(), all.values.begin() + from) &&
                std::equal(one.indices.begin(), one.indices.end(), all.indices.begin() + from),
            "token " << t << " alone differs");
    }
  }
}

TEST(cuda_sae_encode_passes_nan_and_infinity_on) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  Random random(57);
  for (Kind kind : kKinds) {
    SaeCase sae(kind, 24, 90, MONOSEM_FLOAT32, random);
    RemoteSae remote(sae);
    std::vector<float> x = random_tokens(4, 24, random);
    x[24 + 5] = nan;
    x[48 + 7] = infinity;
    const HostCsr acts = remote.encode(x, 4);
    const int64_t k = sae.k > 0 ? sae.k : 90;
    CHECK(acts.row_offsets[2] - acts.row_offsets[1] == k, "NaN is active everywhere");
    for (uint32_t i = 0; i < k; ++i) {
      CHECK(acts.indices[acts.row_offsets[1] + i] == i, "NaN ties go to the lowest index");
      CHECK(std::isnan(acts.values[acts.row_offsets[1] + i]), "NaN stays");
    }
    int64_t above = 0;
    for (int64_t f = 0; f < 90; ++f) above += sae.w.get(7 * 90 + f) > 0;
    CHECK(acts.row_offsets[3] - acts.row_offsets[2] == std::min(above, k),
          "infinity's sign decides");
    for (uint32_t i = acts.row_offsets[2]; i < acts.row_offsets[3]; ++i) {
      CHECK(acts.values[i] == infinity, "infinity stays: " << acts.values[i]);
    }
    for (uint32_t i = acts.row_offsets[3]; i < acts.row_offsets[4]; ++i) {
      CHECK(std::isfinite(acts.values[i]), "it leaked into another token");
    }
  }
}

TEST(cuda_sae_encode_joins_blocks_and_stops_when_cancelled) {
  Random random(58);
  SaeCase sae(Kind::kRelu, 1, 20, MONOSEM_FLOAT32, random);
  RemoteSae remote(sae);
  const std::vector<float> x = random_tokens(4100, 1, random);
  HostCsr acts = remote.encode(x, 4100);
  check_encode(sae, x, 4100, acts.view(), "two blocks", 4e-6);
  const Remote input(x);
  int polls = 0;
  monosem_csr out{};
  monosem_sae_stats stats{};
  const monosem_status status = cuda_table().sae_encode(
      cuda_handle(), remote.plan, input.floats(), 4100, MONOSEM_STRICT,
      [](void* count) -> int32_t { return ++*static_cast<int*>(count) == 1; }, &polls, &out,
      &stats);
  CHECK(status == MONOSEM_ERR_ABORTED && polls == 1, status << ' ' << polls);
  CHECK(out.row_offsets == nullptr, "an aborted encode left a result");
  CHECK(std::string(cuda_table().last_error()).find("sae_encode: ") == 0,
        cuda_table().last_error());
}

TEST(cuda_sae_encode_breaks_top_k_ties_by_lowest_index) {
  const int64_t d_sae = 1500, k = 7;
  Random random(59);
  SaeCase sae(Kind::kTopK, 1, d_sae, MONOSEM_FLOAT32, random);
  sae.k = k;
  sae.has_scale = false;
  std::fill(sae.bias.begin(), sae.bias.end(), 0.0f);
  for (int64_t f = 0; f < d_sae; ++f) sae.w.set(f, f == 1400 ? 2 : f > 100 && f < 900 ? -1 : 1);
  RemoteSae remote(sae);
  for (int64_t tokens : {1, 2}) {
    const HostCsr acts = remote.encode(std::vector<float>(tokens, 1.0f), tokens);
    CHECK(static_cast<int64_t>(acts.values.size()) == tokens * k, acts.values.size());
    for (uint32_t i = 0; i < k; ++i) {
      CHECK(acts.indices[i] == (i < k - 1 ? i : 1400), i << ": " << acts.indices[i]);
    }
  }
}

TEST(cuda_sae_input_matches_fp64) {
  for_each_schedule([](const std::string& what) {
    Random random(60);
    for (int32_t mode = MONOSEM_NORMALIZE_NONE; mode <= MONOSEM_NORMALIZE_SCALAR; ++mode) {
      for (const auto& [tokens, d_in] : {std::pair{1, 7}, {5, 300}, {0, 4}}) {
        Strided host(random_float_dtype(random), {tokens, d_in}, random);
        host.fill_normal(random, 3);
        std::vector<float> b_dec(static_cast<size_t>(d_in));
        for (float& value : b_dec) value = random.normal();
        const bool centred = random.chance(0.5);
        RemoteView x(host);
        const Remote offset(b_dec), out(std::vector<float>(tokens * d_in)),
            stats(std::vector<float>(2 * tokens));
        ok(cuda_table().sae_input(cuda_handle(), &x.view, mode, 1.5f,
                                  centred ? offset.floats() : nullptr, out.floats(),
                                  stats.floats()));
        const std::vector<float> got = out.get<float>(), stat = stats.get<float>();
        for (int64_t t = 0; t < tokens; ++t) {
          double sum = 0, squares = 0;
          for (int64_t i = 0; i < d_in; ++i) sum += host.get(t * d_in + i);
          const double mean = mode == MONOSEM_NORMALIZE_LAYER_NORM ? sum / d_in : 0;
          for (int64_t i = 0; i < d_in; ++i) {
            squares += (host.get(t * d_in + i) - mean) * (host.get(t * d_in + i) - mean);
          }
          double first = 0;
          if (mode == MONOSEM_NORMALIZE_CONSTANT_NORM) first = std::sqrt(d_in / squares);
          if (mode == MONOSEM_NORMALIZE_LAYER_NORM) first = std::sqrt(squares / (d_in - 1));
          if (first != 0) {
            CHECK(close(stat[2 * t], first, 1e-5) && close(stat[2 * t + 1], mean, 1e-5, 1e-5),
                  what << " mode " << mode << " stats " << stat[2 * t] << ' ' << stat[2 * t + 1]);
          }
          for (int64_t i = 0; i < d_in; ++i) {
            double want = host.get(t * d_in + i);
            if (mode == MONOSEM_NORMALIZE_CONSTANT_NORM) want *= first;
            if (mode == MONOSEM_NORMALIZE_LAYER_NORM) want = (want - mean) / (first + 1e-5);
            if (mode == MONOSEM_NORMALIZE_SCALAR) want *= 1.5;
            if (centred) want -= b_dec[i];
            CHECK(close(got[t * d_in + i], want, 1e-5, 1e-5),
                  what << " mode " << mode << ": " << got[t * d_in + i] << ", not " << want);
          }
        }
      }
    }
  });
}

TEST(cuda_sae_decode_matches_fp64) {
  int round = 0;
  for_each_schedule([&](const std::string& what) {
    Random random(61);
    for (const auto& [tokens, d_sae, d_out, share] : {std::tuple{1, 1, 1, 1.0},
                                                      {3, 40, 7, 0.5},
                                                      {130, 50, 256, 0.2},
                                                      {70, 90, 264, 1.0},
                                                      {2, 300, 48, 0.0},
                                                      {200, 9, 130, 0.4}}) {
      // Another dtype and mode in every schedule.
      const int32_t dtype = (round + round / 6) % 3, mode = (round + round / 6) % 4;
      ++round;
      Strided w(dtype, {d_sae, d_out}), dense(MONOSEM_FLOAT32, {tokens, d_sae});
      w.fill_normal(random);
      for (int64_t i = 0; i < dense.size(); ++i) {
        if (random.chance(share)) dense.set(i, random.normal());
      }
      const auto some = [&](int64_t n) {
        std::vector<float> values(static_cast<size_t>(n));
        for (float& value : values) value = random.uniform(0.5f, 2.0f);
        return values;
      };
      const std::vector<float> row_scale = some(d_sae), b_dec = some(d_out),
                               x = some(tokens * d_out), stats = some(2 * tokens);
      const bool scaled = random.chance(0.5), biased = random.chance(0.5);
      RemoteView weights(w), acts(dense);
      const Remote scale(row_scale), bias(b_dec), input(x), stat(stats), recons(x), out(x),
          error(x);
      monosem_csr csr{};
      ok(cuda_table().csr_from_dense(cuda_handle(), &acts.view, &csr));
      const monosem_decode decode{&csr,
                                  weights.view,
                                  scaled ? scale.floats() : nullptr,
                                  biased ? bias.floats() : nullptr,
                                  mode,
                                  stat.floats(),
                                  1.25f,
                                  recons.floats(),
                                  out.floats(),
                                  input.floats(),
                                  error.floats()};
      ok(cuda_table().sae_decode(cuda_handle(), &decode));
      const std::vector<float> got = recons.get<float>(), outs = out.get<float>(),
                               errors = error.get<float>();
      for (int64_t i = 0; i < tokens * d_out; ++i) {
        const int64_t t = i / d_out, column = i % d_out;
        double want = biased ? b_dec[column] : 0.0f, size = 1;
        for (int64_t f = 0; f < d_sae; ++f) {
          const double part =
              dense.get(t * d_sae + f) * (scaled ? row_scale[f] : 1.0f) * w.get(f * d_out + column);
          want += part;
          size += std::fabs(part);
        }
        CHECK(close(got[i], want, 1e-6, 1e-6 * size), what << ": " << got[i] << ", not " << want);
        if (mode == MONOSEM_NORMALIZE_CONSTANT_NORM) want /= stats[2 * t];
        if (mode == MONOSEM_NORMALIZE_LAYER_NORM) want = want * stats[2 * t] + stats[2 * t + 1];
        if (mode == MONOSEM_NORMALIZE_SCALAR) want /= 1.25;
        CHECK(close(outs[i], want, 2e-6, 4e-6 * size), what << ": " << outs[i] << ", not " << want);
        CHECK(close(errors[i], x[i] - want, 2e-6, 4e-6 * size), what << ' ' << errors[i]);
      }
      const HostCsr freed(csr);
    }
  });
}
