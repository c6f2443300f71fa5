#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cpu/kernels/amx_tile.h"
#include "cpu/sae_screen.h"
#include "test/isas.h"
#include "test/screen_data.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Digits that the kernels in use can screen with.
std::vector<int> digit_choices() {
  return cpu::microkernels().digit_bits == 8 ? std::vector<int>{1, 2} : std::vector<int>{2};
}

/// One block by the screen, whatever its share of candidates.
Csr screen(const monosem_sae_encoder& e, const std::vector<float>& x, int64_t tokens, int digits,
           int32_t precision, cpu::ScreenCounts& counts,
           const cpu::Microkernels& kernels = cpu::microkernels()) {
  const Plan plan(e);
  cpu::build_screen(e, kernels, plan.plan->screen);
  cpu::calibrate_screen(e, x.data(), tokens, plan.plan->screen);
  std::vector<cpu::TokenBlock> blocks(1);
  const auto block = e.k > 0 ? cpu::screen_top_k : cpu::screen_threshold;
  CHECK(block(*plan.plan, x.data(), tokens, digits, precision, kNoLimit, blocks[0], counts),
        "refused");
  Csr out;
  cpu::merge_hits(blocks, tokens, e.d_sae, out.csr);
  return out;
}

}  // namespace

TEST(screen_bound_holds_for_every_pair) {
  for_each_isa([](const std::string& isa) {
    Random random(41);
    for (int scene = 0; scene < static_cast<int>(Scene::kCount); ++scene)
      for (int digits : digit_choices())
        for (int64_t d_in : {1, 3, 64, 131, 300}) {
          BoundCheck check;
          const int64_t d_sae = random.integer(1, 300), tokens = random.integer(1, 60);
          check_bound(screen_data(static_cast<Scene>(scene), d_in, d_sae, tokens, random), d_in,
                      d_sae, tokens, digits, check);
          CHECK(check.violations == 0, isa << " scene " << scene << " d_in " << d_in << ": "
                                           << check.violations << " of " << check.pairs
                                           << ", largest error / margin " << check.error_to_margin);
        }
  });
}

TEST(screen_encodes_as_fp64) {
  for_each_isa([](const std::string& isa) {
    Random random(42);
    for (Kind kind : {Kind::kRelu, Kind::kJumpRelu, Kind::kGated, Kind::kTopK})
      for (int64_t tokens : {1, 6, 40})
        for (int digits : digit_choices()) {
          const int64_t d_in = random.integer(1, 150), d_sae = random.integer(1, 400);
          const SaeCase sae(kind, d_in, d_sae, random_float_dtype(random), random);
          const std::vector<float> x = random_tokens(tokens, d_in, random);
          const std::string what = isa + " kind " + std::to_string(static_cast<int>(kind)) + ", " +
                                   std::to_string(tokens) + " tokens, " + std::to_string(d_in) +
                                   " x " + std::to_string(d_sae) + ", digits " +
                                   std::to_string(digits);
          cpu::ScreenCounts counts;
          const Csr strict = screen(sae.encoder(), x, tokens, digits, MONOSEM_STRICT, counts);
          check_encode(sae, x, tokens, strict.csr, what);
          // The estimate's error may reach a few hundredths; the set is exact all the same.
          cpu::ScreenCounts again;
          const Csr certified = screen(sae.encoder(), x, tokens, digits, MONOSEM_CERTIFIED, again);
          CHECK(certified.csr.nnz == strict.csr.nnz, what);
          for (int64_t i = 0; i < strict.csr.nnz; ++i) {
            CHECK(certified.csr.indices[i] == strict.csr.indices[i], what << " entry " << i);
            CHECK(close(certified.csr.values[i], strict.csr.values[i], 0.1, 0.1),
                  what << " entry " << i);
          }
          const Csr fast = screen(sae.encoder(), x, tokens, digits, MONOSEM_FAST, again);
          CHECK(std::llabs(fast.csr.nnz - strict.csr.nnz) <= 3 + strict.csr.nnz / 5,
                what << ": fast " << fast.csr.nnz << ", strict " << strict.csr.nnz);
        }
  });
}

TEST(screen_decides_thresholds_within_a_millionth) {
  for_each_isa([](const std::string& isa) {
    Random random(43);
    const int64_t d_in = 192, d_sae = 300, tokens = 20;
    SaeCase sae(Kind::kJumpRelu, d_in, d_sae, MONOSEM_FLOAT32, random);
    const std::vector<float> x = random_tokens(tokens, d_in, random);
    // Every threshold next to the pre-activation of some token.
    const std::vector<double> w = sae.w.values();
    for (int64_t f = 0; f < d_sae; ++f) {
      double acc = sae.gate_bias[f];
      const int64_t t = f % tokens;
      for (int64_t i = 0; i < d_in; ++i)
        acc += static_cast<double>(x[t * d_in + i]) * w[i * d_sae + f];
      sae.theta[f] = std::max(0.0f, static_cast<float>(acc * (1 + 1e-6 * random.normal())));
    }
    for (int digits : digit_choices()) {
      cpu::ScreenCounts counts;
      const Csr acts = screen(sae.encoder(), x, tokens, digits, MONOSEM_STRICT, counts);
      check_encode(sae, x, tokens, acts.csr, isa, 1e-5);
    }
  });
}

TEST(screen_passes_nan_and_infinity_as_float32_does) {
  for_each_isa([](const std::string& isa) {
    Random random(44);
    for (Kind kind : {Kind::kJumpRelu, Kind::kGated, Kind::kTopK})
      for (int32_t precision : {MONOSEM_STRICT, MONOSEM_CERTIFIED, MONOSEM_FAST}) {
        const int64_t d_in = 96, d_sae = 200, tokens = 12;
        SaeCase sae(kind, d_in, d_sae, MONOSEM_FLOAT32, random);
        sae.w.set(5 * d_sae + 17, kNaN);                     // feature 17
        if (kind != Kind::kTopK) sae.theta[20] = kInfinity;  // never active
        if (kind != Kind::kTopK) sae.gate_bias[21] = kNaN;   // always
        std::vector<float> x = random_tokens(tokens, d_in, random);
        x[3 * d_in + 4] = kNaN;
        x[5 * d_in + 6] = kInfinity;
        const Plan plan(sae.encoder());
        const Csr want = encode(plan.plan, x, tokens, MONOSEM_PRECISION_FLOAT32);
        cpu::ScreenCounts counts;
        const Csr got = screen(sae.encoder(), x, tokens, 2, precision, counts);
        for (int64_t t : {3, 5}) {
          const uint32_t a = want.csr.row_offsets[t], b = got.csr.row_offsets[t];
          const uint32_t count = want.csr.row_offsets[t + 1] - a;
          CHECK(got.csr.row_offsets[t + 1] - b == count, isa << " token " << t);
          for (uint32_t i = 0; i < count; ++i) {
            CHECK(got.csr.indices[b + i] == want.csr.indices[a + i], isa << " token " << t);
            const float v = got.csr.values[b + i], u = want.csr.values[a + i];
            CHECK(std::isnan(v) ? std::isnan(u) : v == u,
                  isa << " token " << t << ' ' << v << ' ' << u);
          }
        }
        // Feature 17 is NaN in every token.
        for (int64_t t = 0; t < tokens; ++t) {
          bool seen = false;
          for (uint32_t i = got.csr.row_offsets[t]; i < got.csr.row_offsets[t + 1]; ++i)
            if (got.csr.indices[i] == 17) seen = std::isnan(got.csr.values[i]);
          CHECK(seen || (kind == Kind::kTopK && (t == 3 || t == 5)), isa << " token " << t);
        }
      }
  });
}

TEST(screen_strict_values_do_not_depend_on_the_digits) {
  for_each_isa([](const std::string& isa) {
    if (digit_choices().size() < 2) return;
    Random random(45);
    for (Kind kind : {Kind::kJumpRelu, Kind::kTopK}) {
      const SaeCase sae(kind, 200, 500, MONOSEM_BFLOAT16, random);
      const std::vector<float> x = random_tokens(50, 200, random);
      cpu::ScreenCounts coarse, fine;
      const Csr one = screen(sae.encoder(), x, 50, 1, MONOSEM_STRICT, coarse);
      const Csr two = screen(sae.encoder(), x, 50, 2, MONOSEM_STRICT, fine);
      CHECK(same_bits(one.csr, two.csr), isa);
      CHECK(fine.candidates < coarse.candidates,
            isa << ' ' << fine.candidates << ' ' << coarse.candidates);
      CHECK(coarse.error_to_margin < 1 && fine.error_to_margin < 1, isa);
    }
  });
}

TEST(screen_is_what_strict_runs_and_gives_way_to_float32) {
  for_each_isa([](const std::string& isa) {
    Random random(46);
    SaeCase sae(Kind::kJumpRelu, 128, 1024, MONOSEM_FLOAT32, random);
    const auto path = [&](int64_t tokens, int32_t precision) {
      const Plan plan(sae.encoder());
      const std::vector<float> x = random_tokens(tokens, 128, random);
      monosem_sae_stats stats;
      const Csr acts = encode(plan.plan, x, tokens, precision, &stats);
      if (tokens < 10) check_encode(sae, x, tokens, acts.csr, isa);
      return std::string(stats.path);
    };
    sae.theta.assign(1024, 2.8f);  // 0.3 % active
    const bool exact = cpu::microkernels().digit_bits == 8;
    CHECK(path(3, MONOSEM_STRICT).find("screen") != std::string::npos, isa);
    CHECK((path(130, MONOSEM_STRICT).find("screen") != std::string::npos) == exact, isa);
    CHECK(path(130, MONOSEM_PRECISION_FLOAT32) == "float32 fused", isa);
    sae.theta.assign(1024, 0.0f);  // half of all features
    CHECK(path(3, MONOSEM_STRICT).find("too many candidates") != std::string::npos, isa);
    if (exact)
      CHECK(path(130, MONOSEM_STRICT).find("too many candidates") != std::string::npos, isa);
  });
}

// On the model of AMX's tiles, and on the hardware's where there are any: every bit is given.
TEST(screen_amx_tile_multiplies_and_scales) {
  const auto check = [](const char* isa, auto digit_tile, bool with_next) {
    Random random(47);
    for (int64_t rows : {1, 4, 15, 16, 17, 31, 32, 33, 80, 256})
      for (int64_t units : {16, 48, 560}) {
        const int64_t padded = (rows + 15) / 16 * 16;
        std::vector<uint32_t> x(rows * units), w(2 * units * 32);
        for (uint32_t& unit : x) unit = static_cast<uint32_t>(random.bits());
        for (uint32_t& unit : w) unit = static_cast<uint32_t>(random.bits());
        std::vector<uint32_t> tiles(padded * units, 0u);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t k = 0; k < units; ++k)
            tiles[r / 16 * 16 * units + k / 16 * 256 + r % 16 * 16 + k % 16] = x[r * units + k];
        std::vector<float> x_scale(rows), w_scale(32), c(rows * 40), before;
        std::vector<int32_t> w_sum(32);
        for (float& scale : x_scale) scale = random.uniform(0.5f, 2);
        for (float& scale : w_scale) scale = random.uniform(0.5f, 2);
        for (int32_t& sum : w_sum) sum = static_cast<int32_t>(random.integer(-5000, 5000));
        for (float& value : c) value = random.normal();
        before = c;
        digit_tile(rows, units, tiles.data(), w.data(), with_next ? w.data() + units * 32 : nullptr,
                   cpu::DigitScales{x_scale.data(), w_scale.data(), w_sum.data(), 128}, c.data(),
                   int64_t{40});
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < 40; ++j) {
            float want = before[r * 40 + j];
            if (j < 32) {
              int32_t sum = -128 * w_sum[j];
              for (int64_t k = 0; k < units; ++k)
                for (int shift = 0; shift < 32; shift += 8)
                  sum += static_cast<uint8_t>(x[r * units + k] >> shift) *
                         static_cast<int8_t>(w[k * 32 + j] >> shift);
              want = std::fmaf(static_cast<float>(sum), x_scale[r] * w_scale[j], want);
            }
            CHECK(c[r * 40 + j] == want, isa << ", " << rows << " rows, " << units << " units, at "
                                             << r << ", " << j << ": " << c[r * 40 + j] << ", not "
                                             << want);
          }
      }
  };
  for (bool with_next : {false, true}) {
    check("model", cpu::amx_digit_tile<cpu::ModelTiles>, with_next);
    for_each_isa([&](const std::string& isa) {
      if (cpu::microkernels().digits_in_tiles)
        check(isa.c_str(), cpu::microkernels().digit_tile, with_next);
    });
  }
}

// Sums are integers, and the rest of the two is the same: how a unit adds them up cannot matter.
TEST(screen_estimates_are_the_same_bits_on_amx_and_vnni) {
  std::vector<std::pair<std::string, cpu::Microkernels>> units;
  for_each_isa([&](const std::string& isa) {
    cpu::Microkernels kernels = cpu::microkernels();
    if (kernels.digit_bits < 8 || kernels.tile_columns != cpu::kAmxColumns) return;
    kernels.most_kept = 8;
    units.push_back({isa, kernels});
    kernels.digit_rows = cpu::kAmxRows;
    kernels.digits_in_tiles = true;
    kernels.digit_tile = cpu::amx_digit_tile<cpu::ModelTiles>;
    units.push_back({"model of AMX", kernels});
  });
  Random random(49);
  for (Kind kind : {Kind::kJumpRelu, Kind::kTopK})
    for (int64_t tokens : {1, 7, 40, 300})
      for (int digits : {1, 2}) {
        const int64_t d_in = random.integer(1, 700);
        const SaeCase sae(kind, d_in, 500, MONOSEM_BFLOAT16, random);
        const std::vector<float> x = random_tokens(tokens, d_in, random);
        Csr first;
        for (size_t i = 0; i < units.size(); ++i) {
          cpu::ScreenCounts counts;
          Csr got = screen(sae.encoder(), x, tokens, digits, MONOSEM_FAST, counts, units[i].second);
          if (i == 0)
            first = std::move(got);
          else
            CHECK(same_bits(got.csr, first.csr), units[i].first << ", " << tokens << " tokens of "
                                                                << d_in << ", digits " << digits);
        }
      }
}
