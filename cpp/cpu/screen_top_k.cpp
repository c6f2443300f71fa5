// Top k by the screen. The k features with the largest estimates are refined first: the least of
// their scores is a threshold that the k largest cannot be below. Whatever has its upper bound
// under it is out; the rest is refined too, and chosen from.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/thread_pool.h"
#include "cpu/screen_block.h"
#include "cpu/screen_bound.h"

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

/// The k largest of one token's estimates, by ascending feature.
void choose_first(const Microkernels& kernels, const float* scores, int64_t d_sae, int64_t k,
                  uint32_t token, Candidates& pairs) {
  static thread_local Hits top;
  top.start(1);
  append_top_k(kernels, scores, d_sae, k, top);
  pairs.reserve(top.used);
  std::copy_n(top.indices.data(), top.used, pairs.features.data());
  std::copy_n(top.values.data(), top.used, pairs.sums.data());
  std::fill_n(pairs.tokens.data(), top.used, token);
  pairs.used = top.used;
}

/// Every feature of one token whose upper bound is not below `least`, by ascending feature.
void choose(const Microkernels& kernels, const ScoreSpace& space, BoundRow bound, float least,
            const float* scores, int64_t d_sae, uint32_t token, Candidates& pairs) {
  // Equals of the threshold are candidates too, and so is what roundings may have moved below it.
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

/// Tokens' pairs, joined in their order.
Candidates join(const std::vector<Candidates>& tokens) {
  Candidates all;
  for (const Candidates& pairs : tokens) {
    all.reserve(pairs.used);
    std::copy_n(pairs.tokens.data(), pairs.used, all.tokens.data() + all.used);
    std::copy_n(pairs.features.data(), pairs.used, all.features.data() + all.used);
    std::copy_n(pairs.sums.data(), pairs.used, all.sums.data() + all.used);
    all.used += pairs.used;
  }
  return all;
}

/// The threshold above which a lower bound makes its feature certain: the (k+1)-th largest upper
/// bound.
float certain_above(const float* margins, const float* scores, int64_t count, int64_t k) {
  if (count <= k) return 0.0f;
  static thread_local std::vector<float> upper;
  upper.clear();
  for (int64_t i = 0; i < count; ++i) {
    const float bound = scores[i] + margins[i];
    upper.push_back(std::isnan(bound) ? std::numeric_limits<float>::infinity() : bound);
  }
  std::nth_element(upper.begin(), upper.begin() + k, upper.end(), std::greater<>());
  return std::max(0.0f, upper[k]);
}

}  // namespace

bool screen_top_k(EncoderPlan& plan, const float* x, int64_t tokens, int digits, int32_t precision,
                  int64_t most, TokenBlock& block, ScreenCounts& counts) {
  const monosem_sae_encoder& e = plan.encoder;
  const ScreenForm& form = plan.screen;
  const Microkernels& kernels = *form.kernels;
  const ScoreSpace space(e, form);
  const ScreenTokens quantised = quantise_tokens(form, e.d_in, x, tokens, digits);
  const Pieces pieces = cut_features(form, e.d_sae);
  ThreadPool& pool = ThreadPool::instance();
  const Memory<float> scores(tokens * e.d_sae);
  const auto collect = [&](int64_t, int64_t first, int64_t count, int64_t token, int64_t rows,
                           float* sums, int64_t stride) {
    for (int64_t row = 0; row < rows; ++row) {
      kernels.affine(sums + row * stride, count, e.scale == nullptr ? nullptr : e.scale + first,
                     space.bias.data() + first);
      std::copy_n(sums + row * stride, count, scores.get() + (token + row) * e.d_sae + first);
    }
  };
  estimate(form, quantised, e.d_sae, pieces, Part::kSample, collect);
  estimate(form, quantised, e.d_sae, pieces, Part::kRest, collect);

  // exact[i] = float32's score of pair i, for the places listed by piece of the features.
  using Places = std::vector<std::vector<uint32_t>>;
  const auto refine_scores = [&](const Candidates& pairs, const Places& places,
                                 std::vector<float>& exact) {
    std::vector<float> sums(pairs.used);
    pool.run(pieces.count, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t piece = begin; piece < end; ++piece) {
        refine(form, e.d_in, x, pairs, places[piece], sums);
        for (const uint32_t i : places[piece]) {
          const uint32_t f = pairs.features[i];
          exact[i] = (e.scale == nullptr ? sums[i] : sums[i] * e.scale[f]) + e.bias[f];
        }
      }
    });
  };

  std::vector<Candidates> found(tokens);
  pool.run(tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      choose_first(kernels, scores.get() + t * e.d_sae, e.d_sae, e.k, static_cast<uint32_t>(t),
                   found[t]);
  });
  const Candidates first = join(found);
  std::vector<float> first_exact(first.sums.begin(), first.sums.begin() + first.used);
  std::vector<float> least(tokens, 0.0f);
  Places places(pieces.count);
  if (precision != MONOSEM_FAST) {
    for (int64_t i = 0; i < first.used; ++i)
      places[first.features[i] / pieces.width].push_back(static_cast<uint32_t>(i));
    refine_scores(first, places, first_exact);
  }
  int64_t at = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t end = at + found[t].used;
    // Fewer than k positive estimates bound nothing. NaN counts as largest, so it lowers no
    // minimum.
    if (found[t].used == e.k) {
      float minimum = std::numeric_limits<float>::infinity();
      for (int64_t i = at; i < end; ++i)
        minimum = first_exact[i] < minimum ? first_exact[i] : minimum;
      if (std::isfinite(minimum)) least[t] = std::max(0.0f, minimum);
    }
    at = end;
    found[t].used = 0;
  }

  pool.run(tokens, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      choose(kernels, space, bound_of(quantised, t, precision), least[t],
             scores.get() + t * e.d_sae, e.d_sae, static_cast<uint32_t>(t), found[t]);
  });
  int64_t total = 0;
  for (const Candidates& pairs : found) total += pairs.used;
  if (total > most) return false;
  const Candidates all = join(found);
  counts.candidates = all.used;

  // What is refined already, what float32 still has to decide, and what the estimate settles.
  std::vector<float> exact(all.sums.begin(), all.sums.begin() + all.used), margins(all.used);
  for (auto& list : places) list.clear();
  int64_t known = 0, i = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t end = i + found[t].used;
    for (int64_t j = i; j < end; ++j) {
      const uint32_t f = all.features[j];
      margins[j] = quantised.by_norm[t] * space.norm[f] + quantised.by_error[t] * space.error[f] +
                   space.slack;
    }
    const float certain = certain_above(&margins[i], &all.sums[i], found[t].used, e.k);
    for (; i < end; ++i) {
      const uint32_t f = all.features[i];
      const bool sure = all.sums[i] - margins[i] > certain;
      counts.ambiguous += !sure;
      while (known < first.used &&
             (first.tokens[known] < t || (first.tokens[known] == t && first.features[known] < f)))
        ++known;
      const bool is_known = precision != MONOSEM_FAST && known < first.used &&
                            first.tokens[known] == t && first.features[known] == f;
      if (is_known)
        exact[i] = first_exact[known];
      else if (!((precision == MONOSEM_CERTIFIED && sure) ||
                 (precision == MONOSEM_FAST && std::isfinite(margins[i]))))
        places[f / pieces.width].push_back(static_cast<uint32_t>(i));
    }
  }
  refine_scores(all, places, exact);

  std::vector<Hits> chosen(tokens);
  TopK top;
  i = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    top.start(e.k);
    while (i < all.used && all.tokens[i] == t) {
      uint32_t* indices = top.next_indices();
      float* values = top.next_values();
      int64_t kept = 0;
      for (; i < all.used && all.tokens[i] == t && kept < TopK::kChunk; ++i) {
        const double off = std::fabs(exact[i] - all.sums[i]);
        if (margins[i] > 0 && off > counts.error_to_margin * margins[i])
          counts.error_to_margin = off / margins[i];
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
