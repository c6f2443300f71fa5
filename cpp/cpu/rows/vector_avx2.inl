// AVX2, FMA and F16C: 16 registers of 8 floats.

using Vector = __m256;
using Bits = uint32_t __attribute__((vector_size(32)));
constexpr int64_t kLanes = 8;

inline Bits bits(Vector v) { return (Bits)v; }
inline Vector from_bits(Bits b) { return (Vector)b; }

inline __m256i first_lanes(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
}

inline Vector splat(float x) { return _mm256_set1_ps(x); }
inline Vector load(const float* p) { return _mm256_loadu_ps(p); }
inline Vector load(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store(float* p, Vector v) { _mm256_storeu_ps(p, v); }
inline void store(float* p, Vector v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }
inline void store_float16(uint16_t* p, Vector v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// The low halves of the lanes.
inline void store_halves(uint16_t* p, Bits b) {
  const __m256i packed = _mm256_packus_epi32((__m256i)b, (__m256i)b);
  const __m256i halves = _mm256_permute4x64_epi64(packed, 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(halves));
}

inline Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
inline Vector square_root(Vector v) { return _mm256_sqrt_ps(v); }
/// The second operand where either is NaN.
inline Vector smaller(Vector a, Vector b) { return _mm256_min_ps(a, b); }
inline Vector larger(Vector a, Vector b) { return _mm256_max_ps(a, b); }
/// NaN if a lane is.
inline float lane_maximum(Vector v) {
  if (_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0) return __builtin_nanf("");
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

struct DoubleSum {
  __m256d low, high;
  // Written out: a constructor of the compiler's own would not have the instruction set.
  DoubleSum() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}
  void add(Vector v) {
    low += _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    high += _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
  }
  void add_square(Vector v) {
    const __m256d a = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d b = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    low = _mm256_fmadd_pd(a, a, low);
    high = _mm256_fmadd_pd(b, b, high);
  }
  double total() const {
    const __m256d sum = low + high;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
};

#include "cpu/rows/scale_by_power.inl"
