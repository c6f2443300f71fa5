#pragma once

// The two checks of the soak, pair by pair against fp64: the screen's bound, and whole encodes.

#include <mutex>

#include "test/soak_case.h"

namespace monosem::test {

/// What an encode may be off by: 1e-5 (1 + |theta|), the 1 in units of the scene, or what float32
/// itself rounds where that is more. A sum of d_in products in order rounds d_in times, by up to
/// 2^-24 |x||w| each and in either direction: as a random walk, sqrt(d_in) times.
inline constexpr double kTolerance = 1e-5, kRounding = 0x1p-24;

struct SoakCounts {
  int64_t pairs = 0, outside = 0;  // of their margin
  int64_t decided = 0, wrong = 0;  // pairs of an encode; off by more than allowed
  double error_to_margin = 0;      // of the screen's estimates
  double error_to_allowed = 0;     // of an encode's values, and of its flips
  std::string first_wrong;

  void add(const SoakCounts& other) {
    pairs += other.pairs;
    outside += other.outside;
    decided += other.decided;
    wrong += other.wrong;
    error_to_margin = std::max(error_to_margin, other.error_to_margin);
    error_to_allowed = std::max(error_to_allowed, other.error_to_allowed);
    if (first_wrong.empty()) first_wrong = other.first_wrong;
  }
};

/// The screen's form of a case, and its tokens in it.
struct Screened {
  cpu::ScreenForm form;
  cpu::ScreenTokens tokens;
  std::vector<double> shift;  // w . center

  Screened(const SoakCase& c, int digits) {
    const monosem_sae_encoder e = c.encoder();
    cpu::build_screen(e, cpu::microkernels(), form);
    cpu::calibrate_screen(e, c.x.data(), std::min(c.tokens, cpu::kBlockTokens), form);
    tokens = cpu::quantise_tokens(form, c.d_in, c.x.data(), c.tokens, digits);
    shift.resize(c.d_sae);
    ThreadPool::instance().run(c.d_sae, 64, [&](int64_t begin, int64_t end, int) {
      for (int64_t f = begin; f < end; ++f)
        shift[f] = dot(&c.w[f * c.d_in], form.center.data(), c.d_in);
    });
  }

  /// NaN: no bound, always a candidate.
  double margin(int64_t t, int64_t f) const {
    return static_cast<double>(tokens.by_norm[t]) * form.norm[f] +
           static_cast<double>(tokens.by_error[t]) * form.error[f];
  }
};

/// Every pair's estimate must lie within its margin of the truth.
inline SoakCounts check_margins(const SoakCase& c, const Screened& s) {
  const int64_t width = s.form.width, panels = (c.d_sae + width - 1) / width;
  std::mutex mutex;
  SoakCounts all;
  ThreadPool::instance().run(panels, 1, [&](int64_t begin, int64_t end, int) {
    SoakCounts found;
    std::vector<float> sums;
    for (int64_t panel = begin; panel < end; ++panel)
      for (int64_t p = 0; p < s.tokens.panels; ++p) {
        const int64_t first = s.tokens.token_of(p), rows = s.tokens.token_of(p + 1) - first;
        sums.resize(rows * width);
        cpu::screen_tile(s.form, s.tokens, p, panel, -1, sums.data(), width);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t f = panel * width; f < std::min(c.d_sae, (panel + 1) * width); ++f) {
            const int64_t t = first + r;
            const double margin = s.margin(t, f);
            const double off = std::fabs(sums[r * width + f - panel * width] + s.shift[f] -
                                         c.truth[t * c.d_sae + f]);
            ++found.pairs;
            found.outside += !(off <= margin) && !std::isnan(margin);
            if (margin > 0 && off < margin * 1e9)
              found.error_to_margin = std::max(found.error_to_margin, off / margin);
          }
      }
    const std::lock_guard lock(mutex);
    all.add(found);
  });
  return all;
}

/// One token of an encode. Its active features and values must be the truth's, but for what is
/// allowed: by float32 always, by the screen's margin where the precision says so.
class TokenCheck {
 public:
  TokenCheck(const SoakCase& c, const Screened& s, int32_t precision)
      : c_(c), s_(s), precision_(precision), score_(c.d_sae), order_(c.k > 0 ? c.d_sae : 0) {}

  SoakCounts check(const monosem_csr& csr, int64_t t) {
    SoakCounts counts;
    const double floor = c_.k > 0 ? scores(t) : (scores(t), 0.0);
    uint32_t at = csr.row_offsets[t];
    const uint32_t end = csr.row_offsets[t + 1];
    double loosest = 0;  // top k, fast: how far the least of the chosen may have been misjudged
    if (c_.k > 0)
      for (int64_t f = 0; f < c_.d_sae; ++f)
        if (std::isfinite(score_[f])) loosest = std::max(loosest, allowed(t, f, floor, true));
    for (int64_t f = 0; f < c_.d_sae; ++f) {
      const bool got = at < end && csr.indices[at] == f;
      const double score = score_[f], sum = c_.truth[t * c_.d_sae + f];
      double over;
      if (c_.k > 0)
        over = score > 0 || std::isnan(score) ? key(score) - floor : -1.0;
      else
        over = std::isnan(sum) ? 1.0 : std::min(sum + c_.gate_bias[f] - c_.theta[f], score);
      const bool want = c_.k > 0 ? chosen(f) && !(score <= 0) : over > 0;
      ++counts.decided;
      if (got != want) {
        // Top k without relu's help: a negative score is inactive whatever its rank.
        const double by = c_.k > 0 && score <= 0 ? std::fabs(score) : std::fabs(over);
        const double slack = c_.k > 0 ? 2 * loosest : allowed(t, f, c_.theta[f], true);
        judge(counts, by, slack, t, f, got ? "active" : "missing");
      }
      if (got) {
        const float value = csr.values[at++];
        if (std::isnan(score) || std::isinf(score)) {
          if (!(std::isnan(score) ? std::isnan(value) : value == score))
            judge(counts, 1, 0, t, f, "not as float32 has it");
        } else {
          judge(counts, std::fabs(value - score),
                allowed(t, f, c_.k > 0 ? floor : c_.theta[f], false), t, f, "value");
        }
      }
    }
    if (at != end) judge(counts, 1, 0, t, -1, "out of order");
    return counts;
  }

 private:
  static double key(double score) {
    return std::isnan(score) ? std::numeric_limits<double>::infinity() : score;
  }

  /// Fills score_; top k: returns the k-th largest, NaN counting as largest.
  double scores(int64_t t) {
    for (int64_t f = 0; f < c_.d_sae; ++f)
      score_[f] = c_.truth[t * c_.d_sae + f] * (c_.scale.empty() ? 1.0f : c_.scale[f]) + c_.bias[f];
    if (c_.k == 0) return 0;
    for (int64_t f = 0; f < c_.d_sae; ++f) order_[f] = f;
    std::nth_element(order_.begin(), order_.begin() + (c_.k - 1), order_.end(),
                     [&](int64_t a, int64_t b) { return before(a, b); });
    last_ = order_[c_.k - 1];
    return key(score_[last_]);
  }
  /// The order of top k: NaN, then the largest; of equals the lowest index.
  bool before(int64_t a, int64_t b) const {
    const bool nan_a = std::isnan(score_[a]), nan_b = std::isnan(score_[b]);
    if (nan_a != nan_b) return nan_a;
    if (!nan_a && score_[a] != score_[b]) return score_[a] > score_[b];
    return a < b;
  }
  bool chosen(int64_t f) const { return f == last_ || before(f, last_); }

  double allowed(int64_t t, int64_t f, double theta, bool flip) const {
    if (!std::isfinite(c_.x_norm[t])) return 0;  // exact: no rounding turns finite into infinite
    const double scale = c_.scale.empty() ? 1.0 : c_.scale[f];
    const double walk = std::max(8.0, std::sqrt(static_cast<double>(c_.d_in)));
    const double terms = c_.x_norm[t] * c_.w_norm[f] * std::max(1.0, scale) +
                         std::fabs(c_.bias[f]) + std::fabs(c_.gate_bias[f]);
    const double rounding =
        kRounding * walk * terms + static_cast<double>(c_.d_in) * 0x1p-149 * std::max(1.0, scale);
    const double at = std::isfinite(theta) ? std::fabs(theta) : 0.0;
    const double exact = std::max(kTolerance * (c_.unit + at), rounding);
    const bool estimated = precision_ == MONOSEM_FAST || (precision_ == MONOSEM_CERTIFIED && !flip);
    const double margin = estimated ? s_.margin(t, f) * std::max(1.0, scale) : 0.0;
    return exact + (std::isnan(margin) ? 0.0 : margin);
  }

  void judge(SoakCounts& counts, double by, double slack, int64_t t, int64_t f,
             const char* what) const {
    if (slack > 0) counts.error_to_allowed = std::max(counts.error_to_allowed, by / slack);
    if (by <= slack) return;
    ++counts.wrong;
    if (counts.first_wrong.empty())
      counts.first_wrong = "precision " + std::to_string(precision_) + ", token " +
                           std::to_string(t) + ", feature " + std::to_string(f) + " is " + what +
                           ": off by " + std::to_string(by / (slack > 0 ? slack : 1)) +
                           " of what is allowed";
  }

  const SoakCase& c_;
  const Screened& s_;
  int32_t precision_;
  std::vector<double> score_;
  std::vector<int64_t> order_;
  int64_t last_ = -1;
};

inline SoakCounts check_soak_encode(const SoakCase& c, const Screened& s, int32_t precision,
                                    const monosem_csr& csr) {
  std::mutex mutex;
  SoakCounts all;
  ThreadPool::instance().run(c.tokens, 1, [&](int64_t begin, int64_t end, int) {
    TokenCheck token(c, s, precision);
    for (int64_t t = begin; t < end; ++t) {
      const SoakCounts counts = token.check(csr, t);
      const std::lock_guard lock(mutex);
      all.add(counts);
    }
  });
  return all;
}

}  // namespace monosem::test
