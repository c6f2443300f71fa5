// AArch64 NEON: 32 registers of 4 floats.

using Vector = float32x4_t;
using Bits = uint32x4_t;
constexpr int64_t kLanes = 4;

inline Bits bits(Vector v) { return vreinterpretq_u32_f32(v); }
inline Vector from_bits(Bits b) { return vreinterpretq_f32_u32(b); }

inline Vector splat(float x) { return vdupq_n_f32(x); }
inline Vector load(const float* p) { return vld1q_f32(p); }
inline Vector load(const float* p, int64_t n) {
  float lanes[kLanes] = {};
  std::copy_n(p, n, lanes);
  return load(lanes);
}
inline void store(float* p, Vector v) { vst1q_f32(p, v); }
inline void store(float* p, Vector v, int64_t n) {
  float lanes[kLanes];
  store(lanes, v);
  std::copy_n(lanes, n, p);
}
inline void store_float16(uint16_t* p, Vector v) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
/// The low halves of the lanes.
inline void store_halves(uint16_t* p, Bits b) { vst1_u16(p, vmovn_u32(b)); }

inline Vector fma(Vector a, Vector b, Vector c) { return vfmaq_f32(c, a, b); }
inline Vector square_root(Vector v) { return vsqrtq_f32(v); }
/// The second operand where either is NaN, which the instructions' own minimum and maximum are not.
inline Vector smaller(Vector a, Vector b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
inline Vector larger(Vector a, Vector b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
/// NaN if a lane is.
inline float lane_maximum(Vector v) { return vmaxvq_f32(v); }

struct DoubleSum {
  float64x2_t low = vdupq_n_f64(0.0), high = vdupq_n_f64(0.0);
  void add(Vector v) {
    low = vaddq_f64(low, vcvt_f64_f32(vget_low_f32(v)));
    high = vaddq_f64(high, vcvt_high_f64_f32(v));
  }
  void add_square(Vector v) {
    const float64x2_t a = vcvt_f64_f32(vget_low_f32(v)), b = vcvt_high_f64_f32(v);
    low = vfmaq_f64(low, a, a);
    high = vfmaq_f64(high, b, b);
  }
  double total() const { return vaddvq_f64(vaddq_f64(low, high)); }
};

#include "cpu/rows/scale_by_power.inl"
