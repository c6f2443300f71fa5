// AVX2 + FMA + F16C: 16 registers of 8 floats. Tile 6 x 16: 12 accumulators, 2 vectors of b, 1 of
// a.

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <bit>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace monosem::cpu {
namespace {

struct Simd {
  using Float = __m256;
  static constexpr int kLanes = 8;
  static Float zero() { return _mm256_setzero_ps(); }
  static Float broadcast(float value) { return _mm256_set1_ps(value); }
  static Float load(const float* from) { return _mm256_loadu_ps(from); }
  static Float load(const Float16* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Float load(const BFloat16* from) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static void store(float* to, Float value) { _mm256_storeu_ps(to, value); }
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
  /// The larger of a and |b|.
  static Float max_magnitude(Float a, Float b) {
    return _mm256_max_ps(a, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), b));
  }
  static float sum(Float value) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  /// to[0..4) = the sums of a, b, c, d.
  static void sum4(Float a, Float b, Float c, Float d, float* to) {
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
  }
  static uint32_t not_at_most(Float a, Float b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ)));
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
    Float r[8], s[8];
    for (int i = 0; i < 8; ++i) r[i] = i < height ? load(src + i * stride) : zero();
    for (int i = 0; i < 8; i += 2) {
      s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
      r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) s[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    for (int i = 0; i < 4; ++i) s[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    for (int i = 0; i < 8; ++i) store(dst + i * dst_stride, s[i]);
  }

  using Int = __m256i;
  static Int start(const int32_t* w_sum, int32_t bias) {
    return _mm256_mullo_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w_sum)),
                              _mm256_set1_epi32(-bias));
  }
  static Int load_digits(const uint32_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  static Int broadcast_digits(uint32_t digits) {
    return _mm256_set1_epi32(static_cast<int>(digits));
  }
  // Pairs of products meet in 16 bits: 2 * 127 * 127 fits, 8-bit digits would saturate.
  static Int dot4(Int sum, Int x, Int w) {
    const __m256i pairs = _mm256_maddubs_epi16(x, w);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static Float to_float(Int value) { return _mm256_cvtepi32_ps(value); }
};

#include "cpu/kernels/candidates.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/quantise.inl"
#include "cpu/kernels/sae.inl"
#include "cpu/kernels/screen.inl"
#include "cpu/kernels/table.inl"

constexpr Microkernels kTable = make_table<6, 2>("avx2", 7);

}  // namespace
}  // namespace monosem::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace monosem::cpu {
const Microkernels* microkernels_avx2() { return &kTable; }
}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_avx2() { return nullptr; }
}  // namespace monosem::cpu

#endif
