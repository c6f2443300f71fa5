// AVX-512 (F, BW, DQ, VL): 32 registers of 16 floats, masked loads and stores for the tails.

using Vector = __m512;
using Bits = uint32_t __attribute__((vector_size(64)));
constexpr int64_t kLanes = 16;

inline Bits bits(Vector v) { return (Bits)v; }
inline Vector from_bits(Bits b) { return (Vector)b; }

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline Vector splat(float x) { return _mm512_set1_ps(x); }
inline Vector load(const float* p) { return _mm512_loadu_ps(p); }
inline Vector load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store(float* p, Vector v) { _mm512_storeu_ps(p, v); }
inline void store(float* p, Vector v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
inline void store_float16(uint16_t* p, Vector v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// The low halves of the lanes.
inline void store_halves(uint16_t* p, Bits b) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)b));
}

inline Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
inline Vector square_root(Vector v) { return _mm512_sqrt_ps(v); }
/// The second operand where either is NaN.
inline Vector smaller(Vector a, Vector b) { return _mm512_min_ps(a, b); }
inline Vector larger(Vector a, Vector b) { return _mm512_max_ps(a, b); }
/// p * 2^n for an integral n.
inline Vector scale_by_power(Vector p, Vector n) { return _mm512_scalef_ps(p, n); }
/// NaN if a lane is.
inline float lane_maximum(Vector v) {
  if (_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0) return __builtin_nanf("");
  return _mm512_reduce_max_ps(v);
}

struct DoubleSum {
  __m512d low, high;
  // Written out: a constructor of the compiler's own would not have the instruction set.
  DoubleSum() : low(_mm512_setzero_pd()), high(_mm512_setzero_pd()) {}
  void add(Vector v) {
    low += _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    high += _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  }
  void add_square(Vector v) {
    const __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    const __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
    low = _mm512_fmadd_pd(a, a, low);
    high = _mm512_fmadd_pd(b, b, high);
  }
  double total() const { return _mm512_reduce_add_pd(low + high); }
};
