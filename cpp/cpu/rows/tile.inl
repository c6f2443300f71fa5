// The two small matrix products of attention, over tiles that fit in the first and second cache.

/// Rows x Vectors accumulators stay in registers over the whole depth.
template <int Rows, int Vectors>
inline void product_block(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                          int64_t ldc, int64_t depth, bool accumulate) {
  Vector sum[Rows][Vectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v)
      sum[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : splat(0.0f);
  for (int64_t k = 0; k < depth; ++k) {
    Vector right[Vectors];
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + k * ldb + v * kLanes);
    for (int r = 0; r < Rows; ++r) {
      Vector left = splat(a[r * lda + k]);
      for (int v = 0; v < Vectors; ++v) sum[r][v] = fma(left, right[v], sum[r][v]);
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) store(c + r * ldc + v * kLanes, sum[r][v]);
}

template <int Vectors>
inline void product_columns(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                            int64_t ldc, int64_t rows, int64_t depth, bool accumulate) {
  int64_t r = 0;
  for (; r + 6 <= rows; r += 6)
    product_block<6, Vectors>(a + r * lda, lda, b, ldb, c + r * ldc, ldc, depth, accumulate);
  for (; r + 2 <= rows; r += 2)
    product_block<2, Vectors>(a + r * lda, lda, b, ldb, c + r * ldc, ldc, depth, accumulate);
  if (r < rows)
    product_block<1, Vectors>(a + r * lda, lda, b, ldb, c + r * ldc, ldc, depth, accumulate);
}

inline void tile_product(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                         int64_t ldc, int64_t rows, int64_t columns, int64_t depth,
                         bool accumulate) {
  int64_t j = 0;
  for (; j + kBlockVectors * kLanes <= columns; j += kBlockVectors * kLanes)
    product_columns<kBlockVectors>(a, lda, b + j, ldb, c + j, ldc, rows, depth, accumulate);
  for (; j < columns; j += kLanes)
    product_columns<1>(a, lda, b + j, ldb, c + j, ldc, rows, depth, accumulate);
}

/// Few rows against many: each b row is read once, where packing it would cost more.
inline void tile_dots(const float* a, int64_t lda, const float* b, int64_t ldb, float* out,
                      int64_t ldo, int64_t rows, int64_t columns, int64_t depth) {
  int64_t whole = depth / kLanes * kLanes, rest = depth - whole;
  for (int64_t j = 0; j < columns; ++j) {
    const float* right = b + j * ldb;
    for (int64_t r = 0; r < rows; ++r) {
      const float* left = a + r * lda;
      Vector even = splat(0.0f), odd = splat(0.0f);
      int64_t k = 0;
      for (; k + 2 * kLanes <= whole; k += 2 * kLanes) {
        even = fma(load(left + k), load(right + k), even);
        odd = fma(load(left + k + kLanes), load(right + k + kLanes), odd);
      }
      for (; k < whole; k += kLanes) even = fma(load(left + k), load(right + k), even);
      if (rest > 0) odd = fma(load(left + k, rest), load(right + k, rest), odd);
      out[r * ldo + j] = lane_sum(even + odd);
    }
  }
}
