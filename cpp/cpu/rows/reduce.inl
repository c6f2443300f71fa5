// Reductions and normalisations of one row.

inline double sum_row(const float* x, int64_t n) {
  DoubleSum sum;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum.add(load(x + i));
  double rest = 0;
  for (; i < n; ++i) rest += double{x[i]};
  return sum.total() + rest;
}

/// The difference to the center is rounded to float32: its relative error of 2^-24 is the result's.
inline double sum_squares_row(const float* x, int64_t n, float center) {
  DoubleSum sum;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) sum.add_square(load(x + i) - center);
  double rest = 0;
  for (; i < n; ++i) rest += double{x[i] - center} * double{x[i] - center};
  return sum.total() + rest;
}

/// A NaN, once met, is never replaced by a number: nothing is larger than it.
inline Vector larger_or_nan(Vector largest, Vector v) {
  return ((v > largest) | (v != v)) ? v : largest;
}

/// Four chains, because each step waits for the comparison before it.
inline float maximum_row(const float* x, int64_t n) {
  constexpr int kChains = 4;
  Vector largest[kChains];
  for (Vector& chain : largest) chain = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes)
    for (int c = 0; c < kChains; ++c)
      largest[c] = larger_or_nan(largest[c], load(x + i + c * kLanes));
  for (; i + kLanes <= n; i += kLanes) largest[0] = larger_or_nan(largest[0], load(x + i));
  for (int c = 1; c < kChains; ++c) largest[0] = larger_or_nan(largest[0], largest[c]);
  float result = lane_maximum(largest[0]);
  for (; i < n; ++i) result = ((x[i] > result) | (x[i] != x[i])) ? x[i] : result;
  return result;
}

/// The sum gathers in float32 over short stretches of positive terms, which cost it a few units in
/// the last place of each, and in double from there.
inline double exp_sum_row(const float* x, float* out, int64_t n, float shift) {
  constexpr int64_t kStretch = 8 * kLanes;
  DoubleSum sum;
  int64_t i = 0;
  while (i + kLanes <= n) {
    const int64_t end = i + kStretch <= n ? i + kStretch : n - n % kLanes;
    Vector stretch = splat(0.0f);
    for (; i < end; i += kLanes) {
      Vector e = exp(load(x + i) - shift);
      stretch += e;
      store(out + i, e);
    }
    sum.add(stretch);
  }
  double rest = 0;
  if (i < n) {
    store(out + i, exp(load(x + i, n - i) - shift), n - i);
    for (; i < n; ++i) rest += double{out[i]};
  }
  return sum.total() + rest;
}

inline void standardize_row(const float* x, float* out, int64_t n, float center, float factor) {
  map(x, out, n, [&](Vector v) { return (v - center) * factor; });
}

inline void affine_row(const float* x, const float* weight, const float* bias, float* out,
                       int64_t n) {
  if (!weight && !bias) return map(x, out, n, [&](Vector v) { return v; });
  if (!weight) return binary_row(MONOSEM_ADD, x, bias, out, n);
  if (!bias) return binary_row(MONOSEM_MUL, x, weight, out, n);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    store(out + i, fma(load(x + i), load(weight + i), load(bias + i)));
  int64_t rest = n - i;
  if (rest > 0)
    store(out + i, fma(load(x + i, rest), load(weight + i, rest), load(bias + i, rest)), rest);
}

inline void rotate_row(const float* a, const float* b, const float* cos, const float* sin,
                       float* out_a, float* out_b, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Vector x = load(a + i), y = load(b + i), c = load(cos + i), s = load(sin + i);
    store(out_a + i, x * c - y * s);
    store(out_b + i, y * c + x * s);
  }
  for (; i < n; ++i) {
    out_a[i] = a[i] * cos[i] - b[i] * sin[i];
    out_b[i] = b[i] * cos[i] + a[i] * sin[i];
  }
}
