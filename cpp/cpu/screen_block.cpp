#include "cpu/screen_block.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/thread_pool.h"
#include "cpu/kernels/storage.h"

namespace monosem::cpu {
namespace {

// Rows of sums that a piece computes before it looks at them: 256 x 256 floats in the second-level
// cache.
constexpr int64_t kTileTokens = 256;
constexpr int64_t kSampled = 8;  // one piece in so many

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// float32's verdict on a pair's x . w. Returns the value, 0 when inactive.
float activation(const monosem_sae_encoder& e, uint32_t feature, float acc) {
  if (e.k == 0 && acc + e.gate_bias[feature] <= e.theta[feature]) return 0.0f;
  const float value = (e.scale == nullptr ? acc : acc * e.scale[feature]) + e.bias[feature];
  return value <= 0.0f ? 0.0f : value;
}

}  // namespace

Pieces cut_features(const ScreenForm& form, int64_t d_sae) {
  const int64_t wanted = std::min(kPieceFeatures, d_sae / (4 * ThreadPool::instance().threads()));
  const int64_t width = std::max<int64_t>(1, divide_up(wanted, form.width)) * form.width;
  return {width, divide_up(d_sae, width)};
}

void estimate(const ScreenForm& form, const ScreenTokens& tokens, int64_t d_sae,
              const Pieces& pieces, Part part, const Epilogue& epilogue) {
  const int64_t together =
      std::max<int64_t>(1, kTileTokens * tokens.digits / form.kernels->digit_rows);
  const int64_t sampled = divide_up(pieces.count, kSampled);
  const int64_t count_of_part = part == Part::kSample ? sampled : pieces.count - sampled;
  ThreadPool::instance().run(count_of_part, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local Scratch scratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t piece = part == Part::kSample ? i * kSampled : i + i / (kSampled - 1) + 1;
      const int64_t first = piece * pieces.width, count = std::min(pieces.width, d_sae - first);
      for (int64_t p0 = 0; p0 < tokens.panels; p0 += together) {
        const int64_t p1 = std::min(tokens.panels, p0 + together);
        const int64_t token = tokens.token_of(p0), rows = tokens.token_of(p1) - token;
        float* sums = scratch.floats(rows * pieces.width);
        for (int64_t column = 0; column < count; column += form.width)
          for (int64_t p = p0; p < p1; ++p)
            screen_tile(form, tokens, p, (first + column) / form.width,
                        column + form.width < count ? (first + column) / form.width + 1 : -1,
                        sums + (tokens.token_of(p) - token) * pieces.width + column, pieces.width);
        epilogue(piece, first, count, token, rows, sums, pieces.width);
      }
    }
  });
}

BoundRow bound_of(const ScreenTokens& tokens, int64_t token, int32_t precision) {
  BoundRow bound{tokens.by_norm[token], tokens.by_error[token], nullptr, nullptr, nullptr, 0.0f};
  if (precision == MONOSEM_FAST) {
    bound.by_norm *= 0.0f;
    bound.by_error *= 0.0f;
  }
  return bound;
}

void Candidates::reserve(int64_t count) {
  const size_t needed = static_cast<size_t>(used + count + 16);
  if (features.size() >= needed) return;
  const size_t size = std::max(needed, features.size() + features.size() / 2);
  tokens.resize(size);
  features.resize(size);
  sums.resize(size);
}

void ScreenCounts::add(const ScreenCounts& other) {
  candidates += other.candidates;
  ambiguous += other.ambiguous;
  error_to_margin = std::max(error_to_margin, other.error_to_margin);
}

void refine(const ScreenForm& form, int64_t d_in, const float* x, const Candidates& pairs,
            const std::vector<uint32_t>& places, std::vector<float>& sums) {
  if (places.empty()) return;
  static thread_local std::vector<uint32_t> starts, order, tokens;
  static thread_local std::vector<float> totals;
  // Counting sort of the places by feature.
  uint32_t least = pairs.features[places[0]], most = least;
  for (const uint32_t place : places) {
    least = std::min(least, pairs.features[place]);
    most = std::max(most, pairs.features[place]);
  }
  starts.assign(most - least + 2, 0);
  for (const uint32_t place : places) ++starts[pairs.features[place] - least + 1];
  for (size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  order.resize(places.size());
  tokens.resize(places.size());
  for (const uint32_t place : places) {
    const uint32_t at = starts[pairs.features[place] - least]++;
    order[at] = place;
    tokens[at] = pairs.tokens[place];
  }
  totals.assign(places.size(), 0.0f);
  // After the sort a feature's group ends where its start now stands.
  uint32_t begin = 0;
  for (uint32_t f = least; f <= most; ++f) {
    const uint32_t end = starts[f - least];
    if (end == begin) continue;
    const void* row = form.rows.at(f, 0).data;
    const void* next = end < order.size() ? form.rows.at(pairs.features[order[end]], 0).data : row;
    form.kernels->dot_gathered(row, next, form.rows.dtype, x, d_in, tokens.data() + begin,
                               end - begin, d_in, totals.data() + begin);
    begin = end;
  }
  for (size_t i = 0; i < order.size(); ++i) sums[order[i]] = totals[i];
}

bool screen_threshold(EncoderPlan& plan, const float* x, int64_t tokens, int digits,
                      int32_t precision, int64_t most, TokenBlock& block, ScreenCounts& counts) {
  const monosem_sae_encoder& e = plan.encoder;
  const ScreenForm& form = plan.screen;
  const ScreenTokens quantised = quantise_tokens(form, e.d_in, x, tokens, digits);
  const Pieces pieces = cut_features(form, e.d_sae);
  std::vector<Candidates> found(pieces.count);
  std::atomic<int64_t> total{0};
  const auto collect = [&](int64_t piece, int64_t first, int64_t count, int64_t token, int64_t rows,
                           const float* sums, int64_t stride) {
    Candidates& pairs = found[piece];
    const int64_t before = pairs.used;
    // The total only grows: once it is too large the block is lost whatever follows.
    if (total.load(std::memory_order_relaxed) > most) return;
    for (int64_t row = 0; row < rows; ++row) {
      BoundRow bound = bound_of(quantised, token + row, precision);
      bound.w_norm = form.norm.get() + first;
      bound.w_error = form.error.get() + first;
      bound.limit = form.limit.get() + first;
      pairs.reserve(count);
      const int64_t hits = form.kernels->candidates(
          sums + row * stride, count, bound, static_cast<uint32_t>(first),
          pairs.features.data() + pairs.used, pairs.sums.data() + pairs.used);
      std::fill_n(pairs.tokens.data() + pairs.used, hits, static_cast<uint32_t>(token + row));
      pairs.used += hits;
    }
    total.fetch_add(pairs.used - before, std::memory_order_relaxed);
  };
  estimate(form, quantised, e.d_sae, pieces, Part::kSample, collect);
  const int64_t sampled = divide_up(pieces.count, kSampled);
  if (total > most / pieces.count * sampled) return false;
  estimate(form, quantised, e.d_sae, pieces, Part::kRest, collect);
  if (total > most) return false;

  block = {tokens, std::vector<Hits>(pieces.count)};
  std::vector<ScreenCounts> piece_counts(pieces.count);
  ThreadPool::instance().run(pieces.count, 1, [&](int64_t begin, int64_t end, int) {
    static thread_local std::vector<uint32_t> places;
    static thread_local std::vector<float> exact, margins;
    for (int64_t piece = begin; piece < end; ++piece) {
      const Candidates& pairs = found[piece];
      ScreenCounts& count = piece_counts[piece];
      count.candidates = pairs.used;
      places.clear();
      exact.resize(pairs.used);
      margins.resize(pairs.used);
      for (int64_t i = 0; i < pairs.used; ++i) {
        const uint32_t t = pairs.tokens[i], f = pairs.features[i];
        const float margin =
            quantised.by_norm[t] * form.norm[f] + quantised.by_error[t] * form.error[f];
        const float limit = form.limit[f];
        // By more than all roundings of the bound and the limit.
        const bool certain = pairs.sums[i] - margin > limit + 4e-6f * std::fabs(limit);
        count.ambiguous += !certain;
        margins[i] = margin;
        exact[i] = pairs.sums[i] + form.shift[f];
        const bool keep_estimate = (precision == MONOSEM_CERTIFIED && certain) ||
                                   (precision == MONOSEM_FAST && std::isfinite(margin));
        if (!keep_estimate) places.push_back(static_cast<uint32_t>(i));
      }
      refine(form, e.d_in, x, pairs, places, exact);
      for (const uint32_t i : places) {
        const double off = std::fabs(exact[i] - (pairs.sums[i] + form.shift[pairs.features[i]]));
        if (margins[i] > 0 && off / margins[i] > count.error_to_margin)
          count.error_to_margin = off / margins[i];
      }
      Hits& hits = block.pieces[piece];
      hits.start(tokens);
      hits.reserve(pairs.used);
      int64_t i = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        for (; i < pairs.used && pairs.tokens[i] == t; ++i) {
          const float value = activation(e, pairs.features[i], exact[i]);
          if (value == 0.0f) continue;
          hits.indices[hits.used] = pairs.features[i];
          hits.values[hits.used++] = value;
        }
        hits.end_token();
      }
    }
  });
  for (const ScreenCounts& count : piece_counts) counts.add(count);
  return true;
}

}  // namespace monosem::cpu
