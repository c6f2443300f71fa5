// Top k by the screen. The k-th largest lower bound is a threshold that the k largest scores cannot
// be below: whatever has its upper bound under it is out, the rest is refined and chosen from.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/thread_pool.h"
#include "cpu/screen_block.h"

namespace monosem::cpu {
namespace {

/// Scores are sum * scale + bias: the bound's vectors in that space.
struct ScoreSpace {
  std::vector<float> bias, norm, error;
  float slack = 0;  // roundings of bias and of adding it, over all features

  ScoreSpace(const monosem_sae_encoder& e, const ScreenForm& form)
      : bias(e.d_sae), norm(e.d_sae), error(e.d_sae) {
    double largest = 0;
    for (int64_t f = 0; f < e.d_sae; ++f) {
      const double scale = e.scale == nullptr ? 1.0 : e.scale[f], size = std::fabs(scale);
      bias[f] = static_cast<float>(form.shift[f] * scale + e.bias[f]);
      norm[f] = static_cast<float>(form.norm[f] * size * (1 + kBoundSlack));
      error[f] = static_cast<float>(form.error[f] * size * (1 + kBoundSlack));
      const double terms = std::fabs(form.shift[f] * scale) + std::fabs(e.bias[f]);
      if (std::isfinite(terms)) largest = std::max(largest, terms);
    }
    slack = static_cast<float>(8 * 0x1p-24 * largest);
  }
};

/// One token's candidates among its scores, by ascending feature. `pairs` gets scores for sums.
void choose(const Microkernels& kernels, const ScoreSpace& space, BoundRow bound,
            const float* scores, int64_t d_sae, int64_t k, uint32_t token, Candidates& pairs) {
  static thread_local TopK lower;
  lower.start(k);
  BoundRow low = bound;
  low.by_norm = -bound.by_norm;
  low.by_error = -bound.by_error;
  for (int64_t i = 0; i < d_sae; i += TopK::kChunk) {
    low.w_norm = space.norm.data() + i;
    low.w_error = space.error.data() + i;
    low.floor = lower.floor();
    uint32_t* indices = lower.next_indices();
    float* values = lower.next_values();
    const int64_t found = kernels.candidates(scores + i, std::min(TopK::kChunk, d_sae - i), low,
                                             static_cast<uint32_t>(i), indices, values);
    int64_t kept = 0;
    for (int64_t j = 0; j < found; ++j) {
      const uint32_t f = indices[j];
      const float value =
          values[j] - bound.by_norm * space.norm[f] - bound.by_error * space.error[f] - space.slack;
      if (!(value > lower.floor())) continue;  // NaN bounds nothing from below
      indices[kept] = f;
      values[kept++] = value;
    }
    lower.added(kept);
  }
  lower.finish();
  float least = 0;
  if (lower.size() >= k) least = *std::min_element(lower.values(), lower.values() + lower.size());
  // Equals of the threshold are candidates too, and so is what its roundings may have moved below.
  bound.floor = least - 2 * space.slack - 1e-6f * least - 0x1p-140f;
  for (int64_t i = 0; i < d_sae; i += TopK::kChunk) {
    bound.w_norm = space.norm.data() + i;
    bound.w_error = space.error.data() + i;
    const int64_t count = std::min(TopK::kChunk, d_sae - i);
    pairs.reserve(count);
    const int64_t found =
        kernels.candidates(scores + i, count, bound, static_cast<uint32_t>(i),
                           pairs.features.data() + pairs.used, pairs.sums.data() + pairs.used);
    std::fill_n(pairs.tokens.data() + pairs.used, found, token);
    pairs.used += found;
  }
}

/// The threshold above which a lower bound makes its feature certain: the (k+1)-th largest upper
/// bound.
float certain_above(const std::vector<float>& margins, const Candidates& pairs, int64_t k) {
  if (pairs.used <= k) return 0.0f;
  static thread_local std::vector<float> upper;
  upper.clear();
  for (int64_t i = 0; i < pairs.used; ++i) {
    const float bound = pairs.sums[i] + margins[i];
    upper.push_back(std::isnan(bound) ? std::numeric_limits<float>::infinity() : bound);
  }
  std::nth_element(upper.begin(), upper.begin() + k, upper.end(), std::greater<>());
  return std::max(0.0f, upper[k]);
}

}  // namespace

bool screen_top_k(monosem_sae_plan& plan, const float* x, int64_t tokens, int digits,
                  int32_t precision, int64_t most, TokenBlock& block, ScreenCounts& counts) {
  const monosem_sae_encoder& e = plan.encoder;
  const ScreenForm& form = plan.screen;
  const Microkernels& kernels = *form.kernels;
  const ScoreSpace space(e, form);
  const ScreenTokens quantised = quantise_tokens(form, e.d_in, x, tokens, digits);
  const Pieces pieces = cut_features(form, e.d_sae);
  ThreadPool& pool = ThreadPool::instance();
  const Memory<float> scores(tokens * e.d_sae);
  estimate(
      form, quantised, e.d_sae, pieces,
      [&](int64_t, int64_t first, int64_t count, int64_t token, int64_t rows, float* sums,
          int64_t stride) {
        for (int64_t row = 0; row < rows; ++row) {
          kernels.affine(sums + row * stride, count, e.scale == nullptr ? nullptr : e.scale + first,
                         space.bias.data() + first);
          std::copy_n(sums + row * stride, count, scores.get() + (token + row) * e.d_sae + first);
        }
      });

  std::vector<Candidates> found(tokens);
  pool.run(tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      choose(kernels, space, bound_of(quantised, t, precision), scores.get() + t * e.d_sae, e.d_sae,
             e.k, static_cast<uint32_t>(t), found[t]);
  });
  // All pairs in one list, and which of them float32 has to decide, by piece of the features.
  Candidates all;
  std::vector<std::vector<uint32_t>> places(pieces.count);
  std::vector<float> margins, all_margins;
  for (int64_t t = 0; t < tokens; ++t) {
    const Candidates& pairs = found[t];
    if (all.used + pairs.used > most) return false;
    margins.resize(pairs.used);
    for (int64_t i = 0; i < pairs.used; ++i) {
      const uint32_t f = pairs.features[i];
      margins[i] = quantised.by_norm[t] * space.norm[f] + quantised.by_error[t] * space.error[f] +
                   space.slack;
    }
    const float certain = certain_above(margins, pairs, e.k);
    all.reserve(pairs.used);
    for (int64_t i = 0; i < pairs.used; ++i) {
      const bool sure = pairs.sums[i] - margins[i] > certain;
      counts.ambiguous += !sure;
      if (!((precision == MONOSEM_CERTIFIED && sure) ||
            (precision == MONOSEM_FAST && std::isfinite(margins[i]))))
        places[pairs.features[i] / pieces.width].push_back(static_cast<uint32_t>(all.used));
      all.tokens[all.used] = static_cast<uint32_t>(t);
      all.features[all.used] = pairs.features[i];
      all.sums[all.used++] = pairs.sums[i];
      all_margins.push_back(margins[i]);
    }
  }
  counts.candidates = all.used;

  // Estimates are scores already; what is refined becomes one.
  std::vector<float> exact(all.sums.begin(), all.sums.begin() + all.used), sums(all.used);
  std::vector<double> worst(pieces.count, 0.0);
  pool.run(pieces.count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t piece = begin; piece < end; ++piece) {
      refine(form, e.d_in, x, all, places[piece], sums);
      for (const uint32_t i : places[piece]) {
        const uint32_t f = all.features[i];
        exact[i] = (e.scale == nullptr ? sums[i] : sums[i] * e.scale[f]) + e.bias[f];
        const double off = std::fabs(exact[i] - all.sums[i]);
        if (all_margins[i] > 0 && off / all_margins[i] > worst[piece])
          worst[piece] = off / all_margins[i];
      }
    }
  });
  counts.error_to_margin = *std::max_element(worst.begin(), worst.end());

  std::vector<Hits> chosen(tokens);
  TopK top;
  int64_t i = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    top.start(e.k);
    while (i < all.used && all.tokens[i] == t) {
      uint32_t* indices = top.next_indices();
      float* values = top.next_values();
      int64_t kept = 0;
      for (; i < all.used && all.tokens[i] == t && kept < TopK::kChunk; ++i) {
        if (exact[i] <= top.floor()) continue;
        indices[kept] = all.features[i];
        values[kept++] = exact[i];
      }
      top.added(kept);
    }
    top.finish();
    chosen[t].start(1);
    chosen[t].append(top.indices(), top.values(), top.size());
  }
  block = join_tokens(chosen);
  return true;
}

}  // namespace monosem::cpu
