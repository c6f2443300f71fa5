// Loops of the sparse autoencoder for one instruction set. Included like gemm.inl, after it.

/// kVectors accumulators over all rows of the list, which arrive by prefetch four rows ahead.
template <int kVectors, class T>
void gather_strip(const uint32_t* indices, const float* values, int64_t count, const T* w,
                  int64_t stride, float* out) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes, kAhead = 4;
  constexpr int kLine = 64 / static_cast<int>(sizeof(T));  // elements of a cache line
  Float sum[kVectors];
#pragma GCC unroll 12
  for (int j = 0; j < kVectors; ++j) sum[j] = Simd::zero();
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const T* next = w + int64_t{indices[i + kAhead]} * stride;
      for (int j = 0; j < kVectors * kLanes; j += kLine) __builtin_prefetch(next + j);
    }
    const T* row = w + int64_t{indices[i]} * stride;
    const Float value = Simd::broadcast(values[i]);
#pragma GCC unroll 12
    for (int j = 0; j < kVectors; ++j)
      sum[j] = Simd::fma(value, Simd::load(row + j * kLanes), sum[j]);
  }
#pragma GCC unroll 12
  for (int j = 0; j < kVectors; ++j) Simd::store(out + j * kLanes, sum[j]);
}

template <class T>
void gather_rows_of(const uint32_t* indices, const float* values, int64_t count, const T* w,
                    int64_t stride, int64_t columns, float* out) {
  constexpr int kLanes = Simd::kLanes, kWide = 12 * kLanes;
  int64_t j = 0;
  for (; j + kWide <= columns; j += kWide)
    gather_strip<12>(indices, values, count, w + j, stride, out + j);
  for (; j + 4 * kLanes <= columns; j += 4 * kLanes)
    gather_strip<4>(indices, values, count, w + j, stride, out + j);
  for (; j + kLanes <= columns; j += kLanes)
    gather_strip<1>(indices, values, count, w + j, stride, out + j);
  for (; j < columns; ++j) {
    float sum = 0.0f;
    for (int64_t i = 0; i < count; ++i)
      sum += values[i] * value_of(w[int64_t{indices[i]} * stride + j]);
    out[j] = sum;
  }
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
