// What the screen does around its products. Included like gemm.inl, after sae.inl.

int64_t candidates(const float* sums, int64_t count, const BoundRow& b, uint32_t first,
                   uint32_t* indices, float* values) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  const Float by_norm = Simd::broadcast(b.by_norm), by_error = Simd::broadcast(b.by_error);
  const Float floor = Simd::broadcast(b.floor);
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Float sum = Simd::load(sums + i);
    const Float bound = Simd::fma(by_error, Simd::load(b.w_error + i),
                                  Simd::fma(by_norm, Simd::load(b.w_norm + i), sum));
    const Float limit = b.limit == nullptr ? floor : Simd::load(b.limit + i);
    const uint32_t hits = Simd::not_at_most(bound, limit);
    if (hits != 0)
      found += Simd::compress(hits, sum, first + static_cast<uint32_t>(i), indices + found,
                              values + found);
  }
  for (; i < count; ++i) {
    const float bound = sums[i] + b.by_norm * b.w_norm[i] + b.by_error * b.w_error[i];
    if (bound <= (b.limit == nullptr ? b.floor : b.limit[i])) continue;
    indices[found] = first + static_cast<uint32_t>(i);
    values[found++] = sums[i];
  }
  return found;
}

/// kTokens (1 to kMostTokens) rows of x against one row of w. A pair's two accumulators and the
/// order of their sum are the same for all, so that it does not depend on its company. `next` is
/// the row of w to come, fetched into the second-level cache line by line: all at once, it would
/// keep the rows of x waiting.
constexpr int kMostTokens = 6;

template <int kTokens, class T>
void dot_tokens(const T* w, const T* next, const float* x, int64_t x_stride, const uint32_t* tokens,
                int64_t depth, float* sums) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  const float* row[kTokens];
  Float sum[8][2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) sum[i][0] = sum[i][1] = Simd::zero();
#pragma GCC unroll 8
  for (int i = 0; i < kTokens; ++i) row[i] = x + int64_t{tokens[i]} * x_stride;
  int64_t k = 0;
  for (; k + 2 * kLanes <= depth; k += 2 * kLanes) {
    const Float w0 = Simd::load(w + k), w1 = Simd::load(w + k + kLanes);
    __builtin_prefetch(next + k, 0, 2);
    if (kLanes * sizeof(T) == 64) __builtin_prefetch(next + k + kLanes, 0, 2);
#pragma GCC unroll 8
    for (int i = 0; i < kTokens; ++i) {
      sum[i][0] = Simd::fma(w0, Simd::load(row[i] + k), sum[i][0]);
      sum[i][1] = Simd::fma(w1, Simd::load(row[i] + k + kLanes), sum[i][1]);
    }
  }
  float totals[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) sum[i][0] = Simd::add(sum[i][0], sum[i][1]);
  Simd::sum4(sum[0][0], sum[1][0], sum[2][0], sum[3][0], totals);
  if (kTokens > 4) Simd::sum4(sum[4][0], sum[5][0], sum[6][0], sum[7][0], totals + 4);
  for (int i = 0; i < kTokens; ++i) {
    for (int64_t rest = k; rest < depth; ++rest) totals[i] += value_of(w[rest]) * row[i][rest];
    sums[i] += totals[i];
  }
}

template <class T>
void dot_gathered_of(const T* w, const T* next, const float* x, int64_t x_stride,
                     const uint32_t* tokens, int64_t count, int64_t depth, float* sums) {
  using Dot = void (*)(const T*, const T*, const float*, int64_t, const uint32_t*, int64_t, float*);
  static constexpr Dot kDots[kMostTokens] = {dot_tokens<1, T>, dot_tokens<2, T>, dot_tokens<3, T>,
                                             dot_tokens<4, T>, dot_tokens<5, T>, dot_tokens<6, T>};
  for (int64_t i = 0; i < count; i += kMostTokens) {
    const int64_t together = count - i < kMostTokens ? count - i : kMostTokens;
    kDots[together - 1](w, next, x, x_stride, tokens + i, depth, sums + i);
  }
}

void dot_gathered(const void* w, const void* next, int32_t dtype, const float* x, int64_t x_stride,
                  const uint32_t* tokens, int64_t count, int64_t depth, float* sums) {
  with_type(w, dtype, [&]<class T>(const T* typed) {
    dot_gathered_of(typed, static_cast<const T*>(next), x, x_stride, tokens, count, depth, sums);
  });
}
