#pragma once

// Products in fp64, fast enough to check every pair of a soak.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace monosem::test {

constexpr int64_t kTruthTokens = 3, kTruthFeatures = 16;

/// out[t][f] = sum_i x[t][i] w[i][f] for kTruthTokens tokens, `stride` apart, of a panel of
/// features.
__attribute__((always_inline)) inline void truth_tile(const double* x, const double* w,
                                                      int64_t d_in, double* out, int64_t stride) {
  constexpr int64_t kLanes = 4, kVectors = kTruthFeatures / kLanes;
  typedef double Vector __attribute__((vector_size(kLanes * sizeof(double))));
  Vector sum[kTruthTokens][kVectors] = {};
  for (int64_t i = 0; i < d_in; ++i)
    for (int64_t v = 0; v < kVectors; ++v) {
      const Vector weights = *reinterpret_cast<const Vector*>(w + i * kTruthFeatures + v * kLanes);
      for (int64_t t = 0; t < kTruthTokens; ++t) sum[t][v] += x[t * d_in + i] * weights;
    }
  for (int64_t t = 0; t < kTruthTokens; ++t)
    for (int64_t f = 0; f < kTruthFeatures; ++f)
      out[t * stride + f] = sum[t][f / kLanes][f % kLanes];
}

using TruthTile = void (*)(const double*, const double*, int64_t, double*, int64_t);
inline void truth_tile_anywhere(const double* x, const double* w, int64_t d_in, double* out,
                                int64_t stride) {
  truth_tile(x, w, d_in, out, stride);
}
#ifdef __x86_64__
__attribute__((target("avx2"))) inline void truth_tile_avx2(const double* x, const double* w,
                                                            int64_t d_in, double* out,
                                                            int64_t stride) {
  truth_tile(x, w, d_in, out, stride);
}
#endif

/// x [tokens, d_in] . w [d_sae, d_in] of every pair: [tokens, d_sae].
inline std::vector<double> truths(const std::vector<float>& x, int64_t tokens,
                                  const std::vector<float>& w, int64_t d_sae, int64_t d_in) {
  TruthTile tile = truth_tile_anywhere;
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) tile = truth_tile_avx2;
#endif
  const int64_t panels = (d_sae + kTruthFeatures - 1) / kTruthFeatures;
  const int64_t rounds = (tokens + kTruthTokens - 1) / kTruthTokens;
  std::vector<double> wide(static_cast<size_t>(rounds * kTruthTokens * d_in), 0.0);
  std::copy(x.begin(), x.begin() + tokens * d_in, wide.begin());
  std::vector<double> out(static_cast<size_t>(tokens * d_sae));
  ThreadPool::instance().run(panels, 1, [&](int64_t begin, int64_t end, int) {
    struct alignas(64) Line {
      double values[8];
    };
    static thread_local std::vector<Line> scratch;
    scratch.resize(static_cast<size_t>(2 * d_in));
    double* panel = scratch.data()->values;
    double sums[kTruthTokens * kTruthFeatures];
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kTruthFeatures, lanes = std::min(kTruthFeatures, d_sae - first);
      for (int64_t i = 0; i < d_in; ++i)
        for (int64_t f = 0; f < kTruthFeatures; ++f)
          panel[i * kTruthFeatures + f] = f < lanes ? w[(first + f) * d_in + i] : 0.0;
      for (int64_t t0 = 0; t0 < tokens; t0 += kTruthTokens) {
        tile(wide.data() + t0 * d_in, panel, d_in, sums, kTruthFeatures);
        for (int64_t t = t0; t < std::min(tokens, t0 + kTruthTokens); ++t)
          std::copy_n(sums + (t - t0) * kTruthFeatures, lanes, &out[t * d_sae + first]);
      }
    }
  });
  return out;
}

}  // namespace monosem::test
