// Matrix products of one instruction set. Included by microkernels_<isa>.cpp inside its anonymous
// namespace, after `Simd` and under its target pragma.

/// Register tile: kRows x (kVectors * lanes) accumulators stay in registers over the whole depth.
/// Per step it loads kVectors vectors of b and broadcasts kRows values of a.
template <int kRows, int kVectors>
void gemm_tile(int64_t depth, const float* a, const float* b, float* c, int64_t c_stride,
               bool accumulate, Ahead ahead) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes, kColumns = kVectors * kLanes;
  Float sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      sum[i][j] = accumulate ? Simd::load(c + i * c_stride + j * kLanes) : Simd::zero();
  const char* fetched = static_cast<const char*>(ahead.from);
  if (fetched == nullptr) fetched = reinterpret_cast<const char*>(b);
#pragma GCC unroll 2
  for (int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(fetched, 0, 2);
    fetched += ahead.step;
    Float row[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) row[j] = Simd::load(b + j * kLanes);
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

/// Row by row, so that memory is read in runs as long as the block is wide.
template <class T>
void split_columns_of(const T* src, int64_t stride, int64_t columns, int64_t depth, float* dst,
                      int64_t width) {
  constexpr int kLanes = Simd::kLanes;
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t first = 0; first < columns; first += width) {
      const int64_t count = columns - first < width ? columns - first : width;
      const T* from = src + k * stride + first;
      float* to = dst + first * depth + k * width;
      int64_t j = 0;
      for (; j + kLanes <= count; j += kLanes) Simd::store(to + j, Simd::load(from + j));
      for (; j < count; ++j) to[j] = value_of(from[j]);
    }
}

void split_columns(const void* src, int32_t dtype, int64_t stride, int64_t columns, int64_t depth,
                   float* dst, int64_t width) {
  with_type(src, dtype,
            [&](auto* typed) { split_columns_of(typed, stride, columns, depth, dst, width); });
}

void split_column_pairs(const uint16_t* src, int64_t stride, int64_t columns, int64_t depth,
                        int64_t pairs, uint32_t* dst, int64_t width) {
  for (int64_t k = 0; k < pairs; ++k)
    for (int64_t first = 0; first < columns; first += width) {
      const int64_t count = columns - first < width ? columns - first : width;
      const uint16_t* __restrict earlier = src + 2 * k * stride + first;
      const uint16_t* __restrict later = earlier + stride;
      uint32_t* __restrict to = dst + first * pairs + k * width;
      // Rows are read in runs too short for the hardware's prefetcher.
      __builtin_prefetch(earlier + 16 * stride);
      __builtin_prefetch(later + 16 * stride);
      if (2 * k + 1 < depth)
        for (int64_t j = 0; j < count; ++j) to[j] = earlier[j] | uint32_t{later[j]} << 16;
      else
        for (int64_t j = 0; j < count; ++j) to[j] = 2 * k < depth ? earlier[j] : 0;
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
    for (int j = 0; j < kColumns; ++j) {
      value[j] = Simd::load(w + j * w_stride + k);
      __builtin_prefetch(w + (j + kColumns) * w_stride + k, 0, 2);
    }
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

/// kRows rows of y += kDepth rows of w, each times its own x: y is loaded and stored once per
/// kDepth rows, w loaded once per kRows. The next kDepth rows are fetched into the second-level
/// cache: each is a stream of its own, too short for the hardware's prefetcher to catch up with.
template <int kRows, int kDepth, class T>
void add_rows(const float* x, int64_t x_stride, const T* w, int64_t w_stride, int64_t columns,
              float* y, int64_t y_stride) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  Float factor[kRows][kDepth];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int k = 0; k < kDepth; ++k) factor[i][k] = Simd::broadcast(x[i * x_stride + k]);
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) {
    Float sum[kRows];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) sum[i] = Simd::load(y + i * y_stride + j);
#pragma GCC unroll 8
    for (int k = 0; k < kDepth; ++k) {
      const Float row = Simd::load(w + k * w_stride + j);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) sum[i] = Simd::fma(factor[i][k], row, sum[i]);
      __builtin_prefetch(w + (k + kDepth) * w_stride + j, 0, 2);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) Simd::store(y + i * y_stride + j, sum[i]);
  }
  for (; j < columns; ++j)
    for (int i = 0; i < kRows; ++i)
      for (int k = 0; k < kDepth; ++k)
        y[i * y_stride + j] += x[i * x_stride + k] * value_of(w[k * w_stride + j]);
}

template <int kDepth, class T>
void add_to_rows(const float* x, int64_t x_stride, int64_t rows, const T* w, int64_t w_stride,
                 int64_t columns, float* y, int64_t y_stride) {
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4)
    add_rows<4, kDepth>(x + i * x_stride, x_stride, w, w_stride, columns, y + i * y_stride,
                        y_stride);
  for (; i < rows; ++i)
    add_rows<1, kDepth>(x + i * x_stride, x_stride, w, w_stride, columns, y + i * y_stride,
                        y_stride);
}

template <int kDepth, class T>
void sum_rows_of(const float* x, int64_t x_stride, int64_t rows, const T* w, int64_t w_stride,
                 int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) y[i * y_stride + j] = 0.0f;
  int64_t k = 0;
  for (; k + kDepth <= depth; k += kDepth)
    add_to_rows<kDepth>(x + k, x_stride, rows, w + k * w_stride, w_stride, columns, y, y_stride);
  for (; k < depth; ++k)
    add_to_rows<1>(x + k, x_stride, rows, w + k * w_stride, w_stride, columns, y, y_stride);
}

void sum_rows(const float* x, int64_t x_stride, int64_t rows, const void* w, int32_t dtype,
              int64_t w_stride, int64_t columns, int64_t depth, float* y, int64_t y_stride) {
  with_type(w, dtype, [&](auto* typed) {
    // Registers hold rows x depth factors.
    if (rows < 4)
      sum_rows_of<8>(x, x_stride, rows, typed, w_stride, columns, depth, y, y_stride);
    else
      sum_rows_of<4>(x, x_stride, rows, typed, w_stride, columns, depth, y, y_stride);
  });
}
