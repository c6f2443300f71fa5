// The neon kernels with the screen's products by the dot product instructions of Armv8.2: 16
// multiply-adds each, exact for 8-bit digits.

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

namespace monosem::cpu {
namespace {

struct Simd {
  using Float = float32x4_t;
  static constexpr int kLanes = 4;
  static Float broadcast(float value) { return vdupq_n_f32(value); }
  static Float load(const float* from) { return vld1q_f32(from); }
  static void store(float* to, Float value) { vst1q_f32(to, value); }
  static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  static Float mul(Float a, Float b) { return vmulq_f32(a, b); }

  // The instruction takes signed bytes on both sides: x's digits are multiplied less 128, for which
  // the sums start that much of w's higher.
  using Int = int32x4_t;
  static Int start(const int32_t* w_sum, int32_t bias) {
    return vmulq_n_s32(vld1q_s32(w_sum), 128 - bias);
  }
  static Int load_digits(const uint32_t* from) { return vreinterpretq_s32_u32(vld1q_u32(from)); }
  static Int broadcast_digits(uint32_t digits) {
    return vreinterpretq_s32_u32(vdupq_n_u32(digits ^ 0x80808080u));
  }
  // By assembler: Clang's intrinsic needs the extension for the whole file.
  static Int dot4(Int sum, Int x, Int w) {
    asm(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w));
    return sum;
  }
  static Float to_float(Int value) { return vcvtq_f32_s32(value); }
};

#include "cpu/kernels/screen.inl"

}  // namespace

const Microkernels* microkernels_neon_dot() {
  static const Microkernels table = [] {
    Microkernels made = *microkernels_neon();
    made.digit_bits = 8;
    made.digit_tile = digit_tile<8, 3>;
    return made;
  }();
  return &table;
}

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_neon_dot() { return nullptr; }
}  // namespace monosem::cpu

#endif
