// The avx512 kernels with the screen's products by VNNI: 64 multiply-adds per instruction, exact
// for 8-bit digits.

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

#if defined(__x86_64__)

// GCC 12 warns of the undefined pass-through operands inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                          \
    __attribute__((target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

namespace monosem::cpu {
namespace {

struct Simd {
  using Float = __m512;
  static constexpr int kLanes = 16;
  static Float broadcast(float value) { return _mm512_set1_ps(value); }
  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Float value) { _mm512_storeu_ps(to, value); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }

  using Int = __m512i;
  static Int start(const int32_t* w_sum, int32_t bias) {
    return _mm512_mullo_epi32(_mm512_loadu_si512(w_sum), _mm512_set1_epi32(-bias));
  }
  static Int load_digits(const uint32_t* from) { return _mm512_loadu_si512(from); }
  static Int broadcast_digits(uint32_t digits) {
    return _mm512_set1_epi32(static_cast<int>(digits));
  }
  // By assembler: around the intrinsic GCC 12 copies and stores every accumulator in every step.
  static Int dot4(Int sum, Int x, Int w) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
  }
  static Float to_float(Int value) { return _mm512_cvtepi32_ps(value); }
};

#include "cpu/kernels/screen.inl"

}  // namespace
}  // namespace monosem::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace monosem::cpu {

const Microkernels* microkernels_avx512_vnni() {
  static const Microkernels table = [] {
    Microkernels made = *microkernels_avx512();
    made.digit_bits = 8;
    made.digit_tile = digit_tile<14, 2>;
    return made;
  }();
  return &table;
}

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_avx512_vnni() { return nullptr; }
}  // namespace monosem::cpu

#endif
