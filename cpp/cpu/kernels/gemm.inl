// Matrix products of one instruction set. Included by microkernels_<isa>.cpp inside its anonymous
// namespace, after `Simd` and under its target pragma.

/// Register tile: kRows x (kVectors * lanes) accumulators stay in registers over the whole depth.
/// Per step it loads kVectors vectors of b and broadcasts kRows values of a.
template <int kRows, int kVectors>
void gemm_tile(int64_t depth, const float* a, const float* b, float* c, int64_t c_stride,
               bool accumulate) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes, kColumns = kVectors * kLanes;
  Float sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      sum[i][j] = accumulate ? Simd::load(c + i * c_stride + j * kLanes) : Simd::zero();
  for (int64_t k = 0; k < depth; ++k) {
    Float row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      row[j] = Simd::load(b + j * kLanes);
      // 16 steps ahead: the panel streams from the second-level cache or beyond.
      __builtin_prefetch(b + 16 * kColumns + j * kLanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Float value = Simd::broadcast(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] = Simd::fma(value, row[j], sum[i][j]);
    }
    a += kRows;
    b += kColumns;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) Simd::store(c + i * c_stride + j * kLanes, sum[i][j]);
}

void interleave(const float* src, int64_t stride, int64_t rows, int64_t depth, float* dst,
                int64_t dst_stride) {
  constexpr int kLanes = Simd::kLanes;
  const int64_t whole = depth - depth % kLanes;
  for (int64_t first = 0; first < rows; first += kLanes) {
    const int64_t height = rows - first < kLanes ? rows - first : kLanes;
    const float* from = src + first * stride;
    float* to = dst + first;
    int64_t k = 0;
    // Whole blocks are transposed in registers. One of fewer rows than lanes writes beyond its dst
    // row, over the beginning of the next, which is written after it: so it has to be the only one.
    if (first + kLanes <= dst_stride || rows <= kLanes)
      for (; k < whole; k += kLanes)
        Simd::transpose(from + k, stride, height, to + k * dst_stride, dst_stride);
    for (; k < depth; ++k)
      for (int64_t r = 0; r < height; ++r) to[k * dst_stride + r] = from[r * stride + k];
  }
}

template <class T>
void convert(const T* src, int64_t count, float* dst) {
  constexpr int kLanes = Simd::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Simd::store(dst + i, Simd::load(src + i));
  for (; i < count; ++i) dst[i] = value_of(src[i]);
}

void to_float32(const void* src, int32_t dtype, int64_t count, float* dst) {
  with_type(src, dtype, [&](auto* typed) { convert(typed, count, dst); });
}

/// kColumns rows of w against kRows rows of x: every vector of w is loaded once per kRows, every
/// one of x once per kColumns.
template <int kRows, int kColumns, class T>
void dot_block(const float* x, int64_t x_stride, const T* w, int64_t w_stride, int64_t depth,
               float* y, int64_t y_stride) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  Float sum[kRows][kColumns];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) sum[i][j] = Simd::zero();
  int64_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    Float value[kColumns];
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) value[j] = Simd::load(w + j * w_stride + k);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const Float input = Simd::load(x + i * x_stride + k);
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) sum[i][j] = Simd::fma(input, value[j], sum[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j) {
      float total = Simd::sum(sum[i][j]);
      for (int64_t rest = k; rest < depth; ++rest)
        total += x[i * x_stride + rest] * value_of(w[j * w_stride + rest]);
      y[i * y_stride + j] = total;
    }
}

template <class T>
void dot_rows_of(const float* x, int64_t x_stride, int64_t rows, const T* w, int64_t w_stride,
                 int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  int64_t j = 0;
  for (; j + 4 <= columns; j += 4) {
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4)
      dot_block<4, 4>(x + i * x_stride, x_stride, w + j * w_stride, w_stride, depth,
                      y + i * y_stride + j, y_stride);
    for (; i < rows; ++i)
      dot_block<1, 4>(x + i * x_stride, x_stride, w + j * w_stride, w_stride, depth,
                      y + i * y_stride + j, y_stride);
  }
  for (; j < columns; ++j)
    for (int64_t i = 0; i < rows; ++i)
      dot_block<1, 1>(x + i * x_stride, x_stride, w + j * w_stride, w_stride, depth,
                      y + i * y_stride + j, y_stride);
}

void dot_rows(const float* x, int64_t x_stride, int64_t rows, const void* w, int32_t dtype,
              int64_t w_stride, int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  with_type(w, dtype, [&](auto* typed) {
    dot_rows_of(x, x_stride, rows, typed, w_stride, columns, depth, y, y_stride);
  });
}

/// y[0..columns) += four rows of w, each times its own x: one load and store of y per four rows.
template <int kDepth, class T>
void add_rows(const float* x, const T* w, int64_t w_stride, int64_t columns, float* y) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  Float factor[kDepth];
#pragma GCC unroll 4
  for (int k = 0; k < kDepth; ++k) factor[k] = Simd::broadcast(x[k]);
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) {
    Float sum = Simd::load(y + j);
#pragma GCC unroll 4
    for (int k = 0; k < kDepth; ++k) {
      sum = Simd::fma(factor[k], Simd::load(w + k * w_stride + j), sum);
      __builtin_prefetch(w + (k + kDepth) * w_stride + j);
    }
    Simd::store(y + j, sum);
  }
  for (; j < columns; ++j)
    for (int k = 0; k < kDepth; ++k) y[j] += x[k] * value_of(w[k * w_stride + j]);
}

template <class T>
void sum_rows_of(const float* x, int64_t x_stride, int64_t rows, const T* w, int64_t w_stride,
                 int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) y[i * y_stride + j] = 0.0f;
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4)
    for (int64_t i = 0; i < rows; ++i)
      add_rows<4>(x + i * x_stride + k, w + k * w_stride, w_stride, columns, y + i * y_stride);
  for (; k < depth; ++k)
    for (int64_t i = 0; i < rows; ++i)
      add_rows<1>(x + i * x_stride + k, w + k * w_stride, w_stride, columns, y + i * y_stride);
}

void sum_rows(const float* x, int64_t x_stride, int64_t rows, const void* w, int32_t dtype,
              int64_t w_stride, int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  with_type(w, dtype, [&](auto* typed) {
    sum_rows_of(x, x_stride, rows, typed, w_stride, columns, depth, y, y_stride);
  });
}
