// AVX-512 (F, BW, DQ, VL): 32 registers of 16 floats. Tile 14 x 32: 28 accumulators, 2 vectors of
// b, 1 of a.

#include "cpu/kernels/storage.h"
#include "cpu/microkernels.h"

#if defined(__x86_64__)

// GCC 12 warns of the undefined pass-through operands inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <bit>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace monosem::cpu {
namespace {

struct Simd {
  using Float = __m512;
  static constexpr int kLanes = 16;
  static Float zero() { return _mm512_setzero_ps(); }
  static Float broadcast(float value) { return _mm512_set1_ps(value); }
  static Float load(const float* from) { return _mm512_loadu_ps(from); }
  static Float load(const Float16* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  static Float load(const BFloat16* from) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static void store(float* to, Float value) { _mm512_storeu_ps(to, value); }
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
  static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
  /// The larger of a and |b|.
  static Float max_magnitude(Float a, Float b) { return _mm512_max_ps(a, _mm512_abs_ps(b)); }
  static float sum(Float value) { return _mm512_reduce_add_ps(value); }
  /// to[0..4) = the sums of a, b, c, d.
  static void sum4(Float a, Float b, Float c, Float d, float* to) {
    const __m256 all =
        _mm256_hadd_ps(_mm256_hadd_ps(halves(a), halves(b)), _mm256_hadd_ps(halves(c), halves(d)));
    _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
  }
  static __m256 halves(Float value) {
    return _mm256_add_ps(_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1));
  }
  static uint32_t not_at_most(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ); }
  // Compress into a register and store that whole: the form that compresses to memory is microcode
  // on AMD.
  static int64_t compress(uint32_t lanes, Float value, uint32_t first, uint32_t* indices,
                          float* values) {
    const __mmask16 mask = static_cast<__mmask16>(lanes);
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i index = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)), lane);
    _mm512_storeu_si512(indices, _mm512_maskz_compress_epi32(mask, index));
    _mm512_storeu_ps(values, _mm512_maskz_compress_ps(mask, value));
    return std::popcount(lanes);
  }
  static void transpose(const float* src, int64_t stride, int64_t height, float* dst,
                        int64_t dst_stride) {
    Float r[16], s[16];
    for (int i = 0; i < 16; ++i) r[i] = i < height ? load(src + i * stride) : zero();
    // Within 128-bit lanes 4x4 blocks, then the lanes themselves.
    for (int i = 0; i < 16; i += 2) {
      s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      r[i] = _mm512_shuffle_ps(s[i], s[i + 2], 0x44);
      r[i + 1] = _mm512_shuffle_ps(s[i], s[i + 2], 0xee);
      r[i + 2] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0x44);
      r[i + 3] = _mm512_shuffle_ps(s[i + 1], s[i + 3], 0xee);
    }
    for (int i = 0; i < 4; ++i) {
      s[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
      s[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
      s[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
      s[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; ++i)
      store(dst + i * dst_stride, _mm512_shuffle_f32x4(s[i], s[i + 8], 0x88));
    for (int i = 0; i < 8; ++i)
      store(dst + (i + 8) * dst_stride, _mm512_shuffle_f32x4(s[i], s[i + 8], 0xdd));
  }

  using Int = __m512i;
  static Int start(const int32_t* w_sum, int32_t bias) {
    return _mm512_mullo_epi32(_mm512_loadu_si512(w_sum), _mm512_set1_epi32(-bias));
  }
  static Int load_digits(const uint32_t* from) { return _mm512_loadu_si512(from); }
  static Int broadcast_digits(uint32_t digits) {
    return _mm512_set1_epi32(static_cast<int>(digits));
  }
  // Pairs of products meet in 16 bits: 2 * 127 * 127 fits, 8-bit digits would saturate.
  static Int dot4(Int sum, Int x, Int w) {
    const __m512i pairs = _mm512_maddubs_epi16(x, w);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
  static Float to_float(Int value) { return _mm512_cvtepi32_ps(value); }
};

#include "cpu/kernels/candidates.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/quantise.inl"
#include "cpu/kernels/sae.inl"
#include "cpu/kernels/screen.inl"
#include "cpu/kernels/table.inl"

constexpr Microkernels kTable = make_table<14, 2>("avx512", 7);

}  // namespace
}  // namespace monosem::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace monosem::cpu {
const Microkernels* microkernels_avx512() { return &kTable; }
}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_avx512() { return nullptr; }
}  // namespace monosem::cpu

#endif
