// A token's values as integers, for the screen. Included like gemm.inl.

/// The largest magnitude of values[count]; NaN if one is not finite.
float largest_magnitude(const float* values, int64_t count) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  Float largest = Simd::zero(), probe = Simd::zero();  // the probe: NaN once it met one
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Float value = Simd::load(values + i);
    largest = Simd::max_magnitude(largest, value);
    probe = Simd::fma(value, Simd::zero(), probe);
  }
  float lanes[kLanes], most = 0, sum = Simd::sum(probe);
  Simd::store(lanes, largest);
  for (const float lane : lanes) most = lane > most ? lane : most;
  for (; i < count; ++i) {
    const float size = values[i] < 0 ? -values[i] : values[i];
    most = size > most ? size : most;
    sum += 0.0f * values[i];
  }
  return most + sum;
}

/// Adding 1.5 * 2^23 leaves no bits for a fraction, and the nearest integer in the lowest ones.
Quantised quantise(const float* values, int64_t count, float inverse, float scale,
                   float* shifted_integers) {
  using Float = Simd::Float;
  constexpr int kLanes = Simd::kLanes;
  constexpr float kShift = 0x1.8p23f;
  const Float by = Simd::broadcast(inverse), minus_scale = Simd::broadcast(-scale);
  const Float shift = Simd::broadcast(kShift), back = Simd::broadcast(-kShift);
  Float errors = Simd::zero(), sizes = Simd::zero();
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Float value = Simd::load(values + i);
    const Float shifted = Simd::fma(value, by, shift), integer = Simd::add(shifted, back);
    Simd::store(shifted_integers + i, shifted);
    const Float off = Simd::mul(Simd::fma(integer, minus_scale, value), by);
    errors = Simd::fma(off, off, errors);
    sizes = Simd::fma(integer, integer, sizes);
  }
  Quantised sums{Simd::sum(errors), Simd::sum(sizes)};
  for (; i < count; ++i) {
    const float shifted = values[i] * inverse + kShift, integer = shifted - kShift;
    shifted_integers[i] = shifted;
    const float off = (values[i] - integer * scale) * inverse;
    sums.error += off * off;
    sums.size += integer * integer;
  }
  return sums;
}
