// What this machine could do at most, as one line of JSON: fused multiply-adds per second of the
// widest vector unit, out of registers, and bytes per second read from memory. Built by limits.mjs
// with -march=native; no part of the package.

#include <immintrin.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
using Vector = __m512;
static Vector broadcast(float x) { return _mm512_set1_ps(x); }
static Vector fma(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
static Vector load(const float* p) { return _mm512_load_ps(p); }
static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
#else
using Vector = __m256;
static Vector broadcast(float x) { return _mm256_set1_ps(x); }
static Vector fma(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
static Vector load(const float* p) { return _mm256_load_ps(p); }
static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
#endif
constexpr int lanes = sizeof(Vector) / sizeof(float);

/// Keeps a value from being optimised away.
static void use(Vector v) { asm volatile("" : : "x"(v)); }

/// The best of several runs of `body` on every thread at once, in seconds.
static double best(int threads, int runs, const std::function<void(int)>& body) {
  double least = 1e30;
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> pool;
    for (int t = 0; t < threads; ++t) pool.emplace_back(body, t);
    for (auto& thread : pool) thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (took.count() < least) least = took.count();
  }
  return least;
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;

  // 12 independent chains hide the latency of two units.
  constexpr long rounds = 20'000'000;
  const double fma_seconds = best(threads, 3, [](int) {
    Vector sums[12];
    for (auto& sum : sums) sum = broadcast(1.0f);
    const Vector a = broadcast(0.999999f), b = broadcast(1e-6f);
    for (long i = 0; i < rounds; ++i) {
      for (auto& sum : sums) sum = fma(sum, a, b);
    }
    for (auto& sum : sums) use(sum);
  });

  // Far beyond the last-level cache; each thread reads its own part.
  constexpr size_t bytes = size_t{512} << 20;
  const size_t per_thread = bytes / threads / 4096 * 4096;
  std::vector<float*> parts;
  for (int t = 0; t < threads; ++t) {
    auto* part = static_cast<float*>(std::aligned_alloc(4096, per_thread));
    for (size_t i = 0; i < per_thread / sizeof(float); ++i) part[i] = 1.0f;
    parts.push_back(part);
  }
  const double read_seconds = best(threads, 4, [&](int t) {
    Vector sums[4] = {};
    for (size_t i = 0; i < per_thread / sizeof(float); i += 4 * lanes) {
      for (int k = 0; k < 4; ++k) sums[k] = add(sums[k], load(parts[t] + i + k * lanes));
    }
    for (auto& sum : sums) use(sum);
  });
  for (auto* part : parts) std::free(part);

  std::printf("{\"flops\": %.4g, \"bytesPerSecond\": %.4g, \"lanes\": %d}\n",
              2.0 * 12 * lanes * rounds * threads / fma_seconds,
              double(per_thread) * threads / read_seconds, lanes);
}
