// Loops of the sparse autoencoder for one instruction set. Included like gemm.inl, after it.

/// out += kRows listed rows, each times its value. Whole rows, so that memory is read in long runs:
/// out stays in the first-level cache, and is loaded and stored once per kRows. The next kRows rows
/// are fetched into the second-level cache on the way.
template <int kRows, class T>
void gather_group(const uint32_t* indices, const float* values, int64_t next, const T* w,
                  int64_t stride, int64_t columns, float* out) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  constexpr int kLine = 64 / static_cast<int>(sizeof(T));  // elements of a cache line
  const T *row[kRows], *next_row[kRows];
  Float value[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    row[i] = w + int64_t{indices[i]} * stride;
    next_row[i] = i < next ? w + int64_t{indices[kRows + i]} * stride : row[i];
    value[i] = Simd::broadcast(values[i]);
  }
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) {
    Float sum = Simd::load(out + j);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) sum = Simd::fma(value[i], Simd::load(row[i] + j), sum);
    if (j % kLine == 0)
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) __builtin_prefetch(next_row[i] + j, 0, 2);
    Simd::store(out + j, sum);
  }
  for (; j < columns; ++j)
    for (int i = 0; i < kRows; ++i) out[j] += values[i] * value_of(row[i][j]);
}

template <class T>
void gather_rows_of(const uint32_t* indices, const float* values, int64_t count, const T* w,
                    int64_t stride, int64_t columns, float* out) {
  constexpr int kRows = 4;
  for (int64_t j = 0; j < columns; ++j) out[j] = 0.0f;
  int64_t i = 0;
  for (; i + kRows <= count; i += kRows) {
    const int64_t left = count - i - kRows;
    gather_group<kRows>(indices + i, values + i, left < kRows ? left : kRows, w, stride, columns,
                        out);
  }
  for (; i < count; ++i) gather_group<1>(indices + i, values + i, 0, w, stride, columns, out);
}

void gather_rows(const uint32_t* indices, const float* values, int64_t count, const void* w,
                 int32_t dtype, int64_t stride, int64_t columns, float* out) {
  with_type(w, dtype, [&](auto* typed) {
    gather_rows_of(indices, values, count, typed, stride, columns, out);
  });
}

int64_t threshold(const float* acc, int64_t count, const ThresholdVectors& v, uint32_t first,
                  uint32_t* indices, float* values) {
  constexpr int kLanes = Simd::kLanes;
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Simd::Float sum = Simd::load(acc + i);
    uint32_t hits =
        Simd::not_at_most(Simd::add(sum, Simd::load(v.gate_bias + i)), Simd::load(v.theta + i));
    if (hits == 0) continue;
    const Simd::Float scaled = v.scale == nullptr ? sum : Simd::mul(sum, Simd::load(v.scale + i));
    const Simd::Float value = Simd::add(scaled, Simd::load(v.bias + i));
    hits &= Simd::not_at_most(value, Simd::zero());
    found += Simd::compress(hits, value, first + static_cast<uint32_t>(i), indices + found,
                            values + found);
  }
  for (; i < count; ++i) {
    if (acc[i] + v.gate_bias[i] <= v.theta[i]) continue;
    const float value = (v.scale == nullptr ? acc[i] : acc[i] * v.scale[i]) + v.bias[i];
    if (value <= 0.0f) continue;
    indices[found] = first + static_cast<uint32_t>(i);
    values[found++] = value;
  }
  return found;
}

int64_t above(const float* scores, int64_t count, float floor, uint32_t first, uint32_t* indices,
              float* values) {
  constexpr int kLanes = Simd::kLanes;
  const Simd::Float limit = Simd::broadcast(floor);
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Simd::Float value = Simd::load(scores + i);
    const uint32_t hits = Simd::not_at_most(value, limit);
    if (hits != 0)
      found += Simd::compress(hits, value, first + static_cast<uint32_t>(i), indices + found,
                              values + found);
  }
  for (; i < count; ++i) {
    if (scores[i] <= floor) continue;
    indices[found] = first + static_cast<uint32_t>(i);
    values[found++] = scores[i];
  }
  return found;
}

void affine(float* acc, int64_t count, const float* scale, const float* bias) {
  constexpr int kLanes = Simd::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Simd::Float value = Simd::load(acc + i);
    if (scale != nullptr) value = Simd::mul(value, Simd::load(scale + i));
    Simd::store(acc + i, Simd::add(value, Simd::load(bias + i)));
  }
  for (; i < count; ++i) acc[i] = (scale == nullptr ? acc[i] : acc[i] * scale[i]) + bias[i];
}
