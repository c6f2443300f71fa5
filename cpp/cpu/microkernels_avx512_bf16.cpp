// The avx512_vnni kernels with products of bfloat16 by AVX512-BF16: 32 multiply-adds per
// instruction. Tile 14 x 32, as for float32.

#include "cpu/microkernels.h"

#if defined(__x86_64__)

// GCC 12 warns of the undefined pass-through operands inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512bf16,avx512f,avx512bw,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512vl")
#endif

namespace monosem::cpu {
namespace {

constexpr int kRows = 14, kVectors = 2, kLanes = 16, kColumns = kVectors * kLanes;
constexpr int kMostPairs = 384;  // as many words as of a float32 panel

/// sum += a's later value * b's, then the same of the earlier ones, rounded each time. By
/// assembler: around the intrinsic GCC 12 copies accumulators.
inline __m512 dot2(__m512 sum, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

template <int kHeight>
void tile(int64_t pairs, const uint32_t* a, const uint32_t* b, float* c, int64_t c_stride,
          bool accumulate) {
  __m512 sum[kHeight][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j)
      sum[i][j] = accumulate ? _mm512_loadu_ps(c + i * c_stride + j * kLanes) : _mm512_setzero_ps();
#pragma GCC unroll 2
  for (int64_t k = 0; k < pairs; ++k) {
    __m512i row[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) row[j] = _mm512_loadu_si512(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kHeight; ++i) {
      const __m512i value = _mm512_set1_epi32(static_cast<int>(a[i]));
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sum[i][j] = dot2(sum[i][j], value, row[j]);
    }
    a += kHeight;
    b += kColumns;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kHeight; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) _mm512_storeu_ps(c + i * c_stride + j * kLanes, sum[i][j]);
}

template <int kHeight = kRows>
void multiply(int64_t rows, int64_t pairs, const uint32_t* a, const uint32_t* b, float* c,
              int64_t c_stride, bool accumulate) {
  if (rows == kHeight) return tile<kHeight>(pairs, a, b, c, c_stride, accumulate);
  if constexpr (kHeight > 1) multiply<kHeight - 1>(rows, pairs, a, b, c, c_stride, accumulate);
}

}  // namespace
}  // namespace monosem::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace monosem::cpu {

const Microkernels* microkernels_avx512_bf16() {
  static const Microkernels table = [] {
    Microkernels made = *microkernels_avx512_vnni();
    made.bfloat16 = {kRows, kColumns, kMostPairs, false, multiply<>};
    return made;
  }();
  return &table;
}

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_avx512_bf16() { return nullptr; }
}  // namespace monosem::cpu

#endif
