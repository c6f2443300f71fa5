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

/// kTokens (1 to 4) rows of x against one row of w. A pair's two accumulators and the order of
/// their sum are the same for all, so that it does not depend on its company. `next` are the
/// tokens to come.
template <int kTokens, class T>
void dot_tokens(const T* w, const float* x, int64_t x_stride, const uint32_t* tokens,
                const uint32_t* next, int64_t depth, float* sums) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  const float *row[kTokens], *next_row[kTokens];
  Float sum[4][2];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) sum[i][0] = sum[i][1] = Simd::zero();
#pragma GCC unroll 4
  for (int i = 0; i < kTokens; ++i) {
    row[i] = x + int64_t{tokens[i]} * x_stride;
    next_row[i] = x + int64_t{next[i]} * x_stride;
  }
  int64_t k = 0;
  for (; k + 2 * kLanes <= depth; k += 2 * kLanes) {
    const Float w0 = Simd::load(w + k), w1 = Simd::load(w + k + kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kTokens; ++i) {
      sum[i][0] = Simd::fma(w0, Simd::load(row[i] + k), sum[i][0]);
      sum[i][1] = Simd::fma(w1, Simd::load(row[i] + k + kLanes), sum[i][1]);
      __builtin_prefetch(next_row[i] + k);
      if (kLanes == 16) __builtin_prefetch(next_row[i] + k + kLanes);
    }
  }
  float totals[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) sum[i][0] = Simd::add(sum[i][0], sum[i][1]);
  Simd::sum4(sum[0][0], sum[1][0], sum[2][0], sum[3][0], totals);
  for (int i = 0; i < kTokens; ++i) {
    for (int64_t rest = k; rest < depth; ++rest) totals[i] += value_of(w[rest]) * row[i][rest];
    sums[i] += totals[i];
  }
}

template <class T>
void dot_gathered_of(const T* w, const float* x, int64_t x_stride, const uint32_t* tokens,
                     int64_t count, int64_t depth, float* sums) {
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    dot_tokens<4>(w, x, x_stride, tokens + i, tokens + (i + 8 <= count ? i + 4 : i), depth,
                  sums + i);
  const uint32_t* rest = tokens + i;
  if (count - i == 3) dot_tokens<3>(w, x, x_stride, rest, rest, depth, sums + i);
  if (count - i == 2) dot_tokens<2>(w, x, x_stride, rest, rest, depth, sums + i);
  if (count - i == 1) dot_tokens<1>(w, x, x_stride, rest, rest, depth, sums + i);
}

void dot_gathered(const void* w, int32_t dtype, const float* x, int64_t x_stride,
                  const uint32_t* tokens, int64_t count, int64_t depth, float* sums) {
  with_type(w, dtype,
            [&](auto* typed) { dot_gathered_of(typed, x, x_stride, tokens, count, depth, sums); });
}
