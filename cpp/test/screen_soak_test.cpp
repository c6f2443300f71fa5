// Random encoders against fp64 for as long as MONOSEM_SOAK_SECONDS says: every estimate of the
// screen within its margin, every encode of every precision with the truth's active set and values.
// Prints what it checked.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cpu/isa.h"
#include "test/soak_check.h"

using namespace monosem::test;
namespace cpu = monosem::cpu;

TEST(screen_soak) {
  const char* text = std::getenv("MONOSEM_SOAK_SECONDS");
  const double seconds = text == nullptr ? 1 : std::atof(text);
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  SoakCounts margins, encodes;
  int64_t screened = 0, all = 0, rounds = 0;
  for (; rounds == 0 || elapsed() < seconds; ++rounds) {
    Random random(static_cast<uint64_t>(48 + rounds));
    const Scene scene = static_cast<Scene>(rounds % static_cast<int64_t>(Scene::kCount));
    const SoakCase sae(scene, soak_shape(rounds, random), random);
    const int coarsest = cpu::microkernels().digit_bits == 8 ? 1 : 2;
    const Screened bound(sae, coarsest);
    margins.add(check_margins(sae, bound));
    if (coarsest == 1) margins.add(check_margins(sae, Screened(sae, 2)));
    const Plan plan(sae.encoder());
    for (const int32_t precision :
         {MONOSEM_STRICT, MONOSEM_CERTIFIED, MONOSEM_FAST, MONOSEM_PRECISION_FLOAT32}) {
      monosem_sae_stats stats;
      const Csr acts = encode(plan.plan, sae.x, sae.tokens, precision, &stats);
      encodes.add(check_soak_encode(sae, bound, precision, acts.csr));
      ++all;
      screened += std::string(stats.path).find("screen + refine") != std::string::npos;
    }
    CHECK(margins.outside == 0 && encodes.wrong == 0,
          "round " << rounds << ", scene " << static_cast<int>(scene) << ", kind "
                   << static_cast<int>(sae.kind) << ", " << sae.tokens << " tokens, " << sae.d_in
                   << " x " << sae.d_sae << ": " << margins.outside << " outside their margin, "
                   << encodes.wrong << " wrong; " << encodes.first_wrong);
  }
  std::printf(
      "screen soak, %s: %lld encoders in %.0f s\n"
      "  %.3g estimates, none outside its margin; largest error / margin %.3f\n"
      "  %.3g decisions of %lld encodes (%lld by the screen), none wrong; largest error / allowed "
      "%.3f\n",
      cpu::isa_name(), static_cast<long long>(rounds), elapsed(),
      static_cast<double>(margins.pairs), margins.error_to_margin,
      static_cast<double>(encodes.decided), static_cast<long long>(all),
      static_cast<long long>(screened), encodes.error_to_allowed);
}
