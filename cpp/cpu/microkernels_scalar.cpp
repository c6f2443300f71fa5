// Plain C++: the kernels of a processor we know nothing about, and the tests' second opinion.

#include <cmath>
#include <cstring>

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

namespace monosem::cpu {
namespace {

/// One lane. Multiplies and adds round separately: a fused multiply-add without hardware is a slow
/// library call.
struct Simd {
  using Float = float;
  static constexpr int kLanes = 1;
  static Float zero() { return 0.0f; }
  static Float broadcast(float value) { return value; }
  template <class T>
  static Float load(const T* from) {
    return value_of(*from);
  }
  static void store(float* to, Float value) { *to = value; }
  static Float fma(Float a, Float b, Float c) { return a * b + c; }
  static Float add(Float a, Float b) { return a + b; }
  static Float mul(Float a, Float b) { return a * b; }
  /// The larger of a and |b|.
  static Float max_magnitude(Float a, Float b) { return a > std::fabs(b) ? a : std::fabs(b); }
  static float sum(Float value) { return value; }
  static void sum4(Float a, Float b, Float c, Float d, float* to) {
    to[0] = a, to[1] = b, to[2] = c, to[3] = d;
  }
  static uint32_t not_at_most(Float a, Float b) { return !(a <= b); }
  static int64_t compress(uint32_t lanes, Float value, uint32_t first, uint32_t* indices,
                          float* values) {
    *indices = first;
    *values = value;
    return lanes;
  }
  static void transpose(const float* src, int64_t, int64_t, float* dst, int64_t) { *dst = *src; }

  // Four digits in one 32-bit word.
  using Int = int32_t;
  static Int start(const int32_t* w_sum, int32_t bias) { return *w_sum * -bias; }
  static Int load_digits(const uint32_t* from) { return static_cast<int32_t>(*from); }
  static Int broadcast_digits(uint32_t digits) { return static_cast<int32_t>(digits); }
  static Int dot4(Int sum, Int x, Int w) {
    for (int shift = 0; shift < 32; shift += 8)
      sum += static_cast<uint8_t>(x >> shift) * static_cast<int8_t>(w >> shift);
    return sum;
  }
  static Float to_float(Int value) { return static_cast<float>(value); }
};

#include "cpu/kernels/candidates.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/quantise.inl"
#include "cpu/kernels/sae.inl"
#include "cpu/kernels/screen.inl"
#include "cpu/kernels/table.inl"

constexpr Microkernels kTable = make_table<4, 8>("scalar", 8);

}  // namespace

const Microkernels* microkernels_scalar() { return &kTable; }

}  // namespace monosem::cpu
