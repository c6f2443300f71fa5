// The physical limits that every figure is set against, measured in the same run.

#include "peak.h"

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/scratch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace monosem::bench {
namespace {

constexpr int64_t kRounds = 4000000;

// Every loop runs kRounds times 12 or more independent chains: more than latency times issue rate.
#if defined(__x86_64__)

[[gnu::target("avx512f")]] double chains_avx512() {
  __m512 sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(0.5f);
  const __m512 factor = _mm512_set1_ps(0.25f);
  for (int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i)
      asm volatile("vfmadd231ps %1, %1, %0" : "+v"(sum[i]) : "v"(factor));
  return 12.0 * 16 * 2 * kRounds;
}

[[gnu::target("avx512f,avx512bf16")]] double chains_avx512_bf16() {
  __m512 sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(0.5f);
  const __m512i factor = _mm512_set1_epi32(0x3e803e80);  // twice 0.25
  for (int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) asm volatile("vdpbf16ps %1, %1, %0" : "+v"(sum[i]) : "v"(factor));
  return 12.0 * 32 * 2 * kRounds;
}

[[gnu::target("avx2,fma")]] double chains_avx2() {
  __m256 sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm256_set1_ps(0.5f);
  const __m256 factor = _mm256_set1_ps(0.25f);
  for (int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i)
      asm volatile("vfmadd231ps %1, %1, %0" : "+x"(sum[i]) : "x"(factor));
  return 12.0 * 8 * 2 * kRounds;
}

[[gnu::target("avx512f,avx512vnni")]] double chains_vnni() {
  __m512i sum[12];
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_setzero_si512();
  const __m512i factor = _mm512_set1_epi32(1);
  for (int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum[i]) : "v"(factor));
  return 12.0 * 64 * 2 * kRounds;
}

#elif defined(__aarch64__)

// Twice as many chains: Arm's cores issue up to four of these a cycle.
double chains_neon() {
  float32x4_t sum[24];
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) sum[i] = vdupq_n_f32(0.5f);
  const float32x4_t factor = vdupq_n_f32(0.25f);
  for (int64_t round = 0; round < kRounds; ++round)
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i)
      asm volatile("fmla %0.4s, %1.4s, %1.4s" : "+w"(sum[i]) : "w"(factor));
  return 24.0 * 4 * 2 * kRounds;
}

#endif

double chains_scalar() {
  float sum[8];
  std::fill_n(sum, 8, 0.5f);
  const float factor = 0.25f;
  for (int64_t round = 0; round < kRounds; ++round)
    for (float& s : sum) {
      s += factor * factor;
      asm volatile("" : "+m"(s));
    }
  return 8.0 * 2 * kRounds;
}

double chains() {
#if defined(__x86_64__)
  const std::string isa = cpu::microkernels().isa;
  if (isa == "avx512" || isa == "amx") return chains_avx512();
  if (isa == "avx2") return chains_avx2();
#elif defined(__aarch64__)
  if (std::string(cpu::microkernels().isa) == "neon") return chains_neon();
#endif
  return chains_scalar();
}

/// Operations per second of all threads together, the best of a few runs.
template <class Chains>
double rate(const Chains& chains_of_a_thread) {
  ThreadPool& pool = ThreadPool::instance();
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const double start = seconds();
    double work[1024] = {};
    pool.run(pool.threads(), 1,
             [&](int64_t piece, int64_t, int) { work[piece] = chains_of_a_thread(); });
    double total = 0;
    for (double w : work) total += w;
    best = std::max(best, total / (seconds() - start));
  }
  return best;
}

}  // namespace

double seconds() {
  timespec now;
  clock_gettime(ThreadPool::instance().threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC,
                &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double fma_peak() { return rate(chains); }

double int8_peak() {
#if defined(__x86_64__)
  if (std::string(cpu::isa_name()) == "avx512" && cpu::cpu_features().avx512_vnni)
    return rate(chains_vnni);
#endif
  return 0;
}

double bfloat16_peak() {
#if defined(__x86_64__)
  if (std::string(cpu::isa_name()) == "avx512" && cpu::cpu_features().avx512_bf16)
    return rate(chains_avx512_bf16);
#endif
  return 0;
}

double read_bandwidth() {
  constexpr int64_t kBytes = int64_t{512} << 20, kPiece = int64_t{1} << 20;
  const cpu::Memory<char> memory(kBytes);
  std::memset(memory.get(), 1, kBytes);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const double start = seconds();
    ThreadPool::instance().run(kBytes, kPiece, [&](int64_t begin, int64_t end, int) {
      uint64_t sum[8] = {};
      for (int64_t i = begin; i < end; i += 64) {
        uint64_t line[8];
        std::memcpy(line, memory.get() + i, 64);
        for (int j = 0; j < 8; ++j) sum[j] ^= line[j];
      }
      asm volatile("" ::"r"(sum) : "memory");
    });
    best = std::max(best, kBytes / (seconds() - start));
  }
  return best;
}

}  // namespace monosem::bench
