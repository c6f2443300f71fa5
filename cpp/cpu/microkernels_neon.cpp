// AArch64 NEON: 32 registers of 4 floats. Tile 8 x 12: 24 accumulators, 3 vectors of b, 1 of a.

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <bit>

namespace monosem::cpu {
namespace {

struct Simd {
  using Float = float32x4_t;
  static constexpr int kLanes = 4;
  static Float zero() { return vdupq_n_f32(0.0f); }
  static Float broadcast(float value) { return vdupq_n_f32(value); }
  static Float load(const float* from) { return vld1q_f32(from); }
  static Float load(const Float16* from) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&from->bits)));
  }
  static Float load(const BFloat16* from) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&from->bits), 16));
  }
  static void store(float* to, Float value) { vst1q_f32(to, value); }
  static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  static Float add(Float a, Float b) { return vaddq_f32(a, b); }
  static Float mul(Float a, Float b) { return vmulq_f32(a, b); }
  /// The larger of a and |b|.
  static Float max_magnitude(Float a, Float b) { return vmaxq_f32(a, vabsq_f32(b)); }
  static float sum(Float value) { return vaddvq_f32(value); }
  /// to[0..4) = the sums of a, b, c, d.
  static void sum4(Float a, Float b, Float c, Float d, float* to) {
    store(to, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
  }
  static uint32_t not_at_most(Float a, Float b) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(bit, vcleq_f32(a, b)));
  }
  static int64_t compress(uint32_t lanes, Float value, uint32_t first, uint32_t* indices,
                          float* values) {
    float all[kLanes];
    store(all, value);
    int64_t found = 0;
    for (; lanes != 0; lanes &= lanes - 1) {
      const int lane = std::countr_zero(lanes);
      indices[found] = first + static_cast<uint32_t>(lane);
      values[found++] = all[lane];
    }
    return found;
  }
  static void transpose(const float* src, int64_t stride, int64_t height, float* dst,
                        int64_t dst_stride) {
    Float r[4];
    for (int i = 0; i < 4; ++i) r[i] = i < height ? load(src + i * stride) : zero();
    const float32x4x2_t low = vtrnq_f32(r[0], r[1]), high = vtrnq_f32(r[2], r[3]);
    store(dst, vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0])));
    store(dst + dst_stride, vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1])));
    store(dst + 2 * dst_stride,
          vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0])));
    store(dst + 3 * dst_stride,
          vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1])));
  }

  using Int = int32x4_t;
  static Int start(const int32_t* w_sum, int32_t bias) {
    return vmulq_n_s32(vld1q_s32(w_sum), -bias);
  }
  static Int load_digits(const uint32_t* from) { return vreinterpretq_s32_u32(vld1q_u32(from)); }
  static Int broadcast_digits(uint32_t digits) {
    return vreinterpretq_s32_u32(vdupq_n_u32(digits));
  }
  // 7-bit digits are non-negative as signed bytes too, and pairs of products fit 16 bits.
  static Int dot4(Int sum, Int x, Int w) {
    const int8x16_t a = vreinterpretq_s8_s32(x), b = vreinterpretq_s8_s32(w);
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    const int16x8_t high = vmull_high_s8(a, b);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
  static Float to_float(Int value) { return vcvtq_f32_s32(value); }
};

#include "cpu/kernels/candidates.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/quantise.inl"
#include "cpu/kernels/sae.inl"
#include "cpu/kernels/screen.inl"
#include "cpu/kernels/table.inl"

constexpr Microkernels kTable = make_table<8, 3>("neon", 7);

}  // namespace

const Microkernels* microkernels_neon() { return &kTable; }

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_neon() { return nullptr; }
}  // namespace monosem::cpu

#endif
