#pragma once

// Weights and tokens as hard as real ones for the screen, and the check of its bound.

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/screen_block.h"
#include "test/sae_case.h"

namespace monosem::test {

enum class Scene {
  kGaussian,
  kSuperposition,  // sparse sums of decoder directions with a common offset
  kMassive,        // the same with a few dimensions 10 to 100 times the rest
  kDuplicates,     // features that differ in the sixth digit
  kHuge,           // 1e18 times Gaussian
  kTiny,           // 1e-22 times Gaussian: squares underflow float32
  kSubnormal,
  kCount,
};

struct ScreenData {
  std::vector<float> w;  // [d_sae, d_in]
  std::vector<float> x;  // [tokens, d_in]
};

inline ScreenData screen_data(Scene scene, int64_t d_in, int64_t d_sae, int64_t tokens,
                              Random& random) {
  ScreenData data;
  const float unit = 1 / std::sqrt(static_cast<float>(d_in));
  const auto normals = [&](std::vector<float>& values, int64_t rows, float size) {
    values.resize(static_cast<size_t>(rows * d_in));
    const uint64_t seed = random.bits();
    ThreadPool::instance().run(rows, 64, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        Random of_row(seed ^ static_cast<uint64_t>(r) << 32);
        for (int64_t i = 0; i < d_in; ++i) values[r * d_in + i] = size * of_row.normal();
      }
    });
  };
  normals(data.w, d_sae, unit);
  normals(data.x, tokens, 1);
  const auto scale = [](std::vector<float>& values, float factor) {
    for (float& value : values) value *= factor;
  };
  if (scene == Scene::kDuplicates)
    for (int64_t f = 1; f < d_sae; f += 2)
      for (int64_t i = 0; i < d_in; ++i)
        data.w[f * d_in + i] = data.w[(f - 1) * d_in + i] * (1 + 1e-6f * random.normal());
  if (scene == Scene::kSuperposition || scene == Scene::kMassive) {
    std::vector<float> offset;
    for (int64_t i = 0; i < d_in; ++i) offset.push_back(2 * random.normal());
    for (int64_t t = 0; t < tokens; ++t) {
      float* row = &data.x[t * d_in];
      for (int64_t i = 0; i < d_in; ++i) row[i] = 0.3f * row[i] + offset[i];
      for (int n = 0; n < 20; ++n) {
        const float* direction = &data.w[random.integer(0, d_sae - 1) * d_in];
        const float strength = std::exp(2 + 0.5f * random.normal());
        for (int64_t i = 0; i < d_in; ++i) row[i] += strength * direction[i];
      }
      if (scene == Scene::kMassive)
        for (int64_t n = 0; n < std::min<int64_t>(6, d_in); ++n)
          row[n * d_in / 7] += random.uniform(100, 900);
    }
  }
  if (scene == Scene::kHuge) scale(data.x, 1e18f);
  if (scene == Scene::kTiny) scale(data.x, 1e-22f), scale(data.w, 1e-10f);
  if (scene == Scene::kSubnormal) scale(data.x, 1e-40f);
  return data;
}

struct BoundCheck {
  int64_t pairs = 0, violations = 0;
  double error_to_margin = 0;
};

/// Every pair's estimate against fp64: its error must lie within its margin.
inline void check_bound(const ScreenData& data, int64_t d_in, int64_t d_sae, int64_t tokens,
                        int digits, BoundCheck& check) {
  const std::vector<float> zero(d_sae, 0.0f);
  const monosem_sae_encoder e{
      d_in,
      d_sae,
      {const_cast<float*>(data.w.data()), MONOSEM_FLOAT32, 2, {d_in, d_sae}, {1, d_in}},
      zero.data(),
      zero.data(),
      nullptr,
      zero.data(),
      nullptr,
      0};
  cpu::ScreenForm form;
  cpu::build_screen(e, cpu::microkernels(), form);
  cpu::calibrate_screen(e, data.x.data(), tokens, form);
  const cpu::ScreenTokens quantised =
      cpu::quantise_tokens(form, d_in, data.x.data(), tokens, digits);
  std::vector<double> centred(data.x.begin(), data.x.end()), wide(data.w.begin(), data.w.end());
  for (size_t i = 0; i < centred.size(); ++i) centred[i] -= form.center[i % form.center.size()];
  const cpu::Pieces pieces = cpu::cut_features(form, d_sae);
  std::vector<BoundCheck> found(pieces.count);
  const auto compare = [&](int64_t piece, int64_t first, int64_t count, int64_t token, int64_t rows,
                           const float* sums, int64_t stride) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < count; ++j) {
        const int64_t t = token + r, f = first + j;
        double parts[8] = {};  // as vectors: this loop is all of the time
        for (int64_t i = 0; i < d_in; i += 8)
          for (int64_t j8 = 0; j8 < std::min<int64_t>(8, d_in - i); ++j8)
            parts[j8] += centred[t * d_in + i + j8] * wide[f * d_in + i + j8];
        double truth = 0;
        for (const double part : parts) truth += part;
        const double margin = static_cast<double>(quantised.by_norm[t]) * form.norm[f] +
                              static_cast<double>(quantised.by_error[t]) * form.error[f];
        const double off = std::fabs(sums[r * stride + j] - truth);
        BoundCheck& c = found[piece];
        ++c.pairs;
        c.violations += !(off <= margin);
        if (margin > 0) c.error_to_margin = std::max(c.error_to_margin, off / margin);
      }
  };
  for (const cpu::Part part : {cpu::Part::kSample, cpu::Part::kRest})
    cpu::estimate(form, quantised, d_sae, pieces, part, compare);
  for (const BoundCheck& c : found) {
    check.pairs += c.pairs;
    check.violations += c.violations;
    check.error_to_margin = std::max(check.error_to_margin, c.error_to_margin);
  }
}

}  // namespace monosem::test
