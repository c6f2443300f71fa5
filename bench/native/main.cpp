// The CPU kernels against the limits of the machine, without Node:
//   monosem_bench [WORD...]     rows whose name contains one of the words
// MONOSEM_ISA and MONOSEM_THREADS apply. Times are medians; every row says what share of the FMA
// peak (or of the read bandwidth, where that is the limit) of the same run it reached.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/ops.h"
#include "cpu/scratch.h"
#include "peak.h"
#include "test/random.h"

namespace {

using namespace monosem;
using cpu::Memory;

std::vector<std::string> words;
double peak, bandwidth;

bool wanted(const std::string& name) {
  return words.empty() || std::any_of(words.begin(), words.end(), [&](const std::string& word) {
           return name.find(word) != std::string::npos;
         });
}

/// Whether a row that begins so could be wanted: data is only made then.
bool maybe_wanted(const std::string& beginning) {
  return wanted(beginning) || std::any_of(words.begin(), words.end(), [&](const std::string& word) {
           return word.find(beginning) != std::string::npos;
         });
}

struct Seconds {
  double median, best;
};

Seconds measure(const std::function<void()>& body) {
  body();
  std::vector<double> times;
  for (int run = 0; run < 9; ++run) {
    const double start = bench::seconds();
    body();
    times.push_back(bench::seconds() - start);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[0]};
}

void report(const std::string& name, Seconds time, double flops, double bytes,
            const std::string& note = "") {
  std::printf("%-46s %9.3f ms (best %9.3f) %7.1f GFLOP/s %3.0f %% %6.1f GB/s %4.0f %%  %s\n",
              name.c_str(), time.median * 1e3, time.best * 1e3, flops / time.median * 1e-9,
              100 * flops / time.median / peak, bytes / time.median * 1e-9,
              100 * bytes / time.median / bandwidth, note.c_str());
  std::fflush(stdout);
}

Memory<float> normals(int64_t count, double scale, uint64_t seed) {
  Memory<float> values(count);
  ThreadPool::instance().run(count, 1 << 16, [&](int64_t begin, int64_t end, int) {
    test::Random random(seed + static_cast<uint64_t>(begin));
    for (int64_t i = begin; i < end; ++i) values[i] = static_cast<float>(scale) * random.normal();
  });
  return values;
}

monosem_view matrix(float* data, int64_t rows, int64_t columns) {
  return {data, MONOSEM_FLOAT32, 2, {rows, columns}, {columns, 1}};
}

void bench_gemm(int64_t m, int64_t n, int64_t k, bool transposed) {
  const std::string name = "gemm " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                           std::to_string(k) + (transposed ? " b transposed" : "");
  if (!wanted(name)) return;
  const Memory<float> a = normals(m * k, 1, 1), b = normals(k * n, 1, 2), c(m * n);
  monosem_gemm g{{a.get(), MONOSEM_FLOAT32, 3, {1, m, k}, {m * k, k, 1}},
                 {b.get(), MONOSEM_FLOAT32, 3, {1, k, n}, {k * n, n, 1}},
                 {c.get(), MONOSEM_FLOAT32, 3, {1, m, n}, {m * n, n, 1}},
                 nullptr,
                 1.0f,
                 -1};
  if (transposed) {
    g.b.stride[1] = 1;
    g.b.stride[2] = k;
  }
  const Seconds time = measure([&] { cpu::gemm(g); });
  report(name, time, 2.0 * m * n * k, 4.0 * (k * n + m * k + m * n));
}

void release(monosem_csr& csr) {
  cpu::release(csr.row_offsets);
  cpu::release(csr.indices);
  cpu::release(csr.values);
}

/// Gaussian weights and inputs, and thresholds that leave `active` features per token.
void bench_sae(int64_t d_in, int64_t d_sae, int64_t active) {
  const std::string shape = std::to_string(d_in) + " x " + std::to_string(d_sae);
  if (!maybe_wanted("encode " + shape) && !maybe_wanted("decode " + shape)) return;
  const Memory<float> w = normals(d_in * d_sae, 1 / std::sqrt(d_in), 3),
                      w_dec = normals(d_in * d_sae, 1, 4);
  const std::vector<float> bias(d_sae, 0.0f), b_dec(d_in, 0.1f);
  // P(normal > theta) = active / d_sae, by bisection.
  double low = 0, high = 8;
  for (int i = 0; i < 60; ++i)
    (0.5 * std::erfc((low + high) / 2 / std::sqrt(2)) > static_cast<double>(active) / d_sae
         ? low
         : high) = (low + high) / 2;
  const std::vector<float> theta(d_sae, static_cast<float>(low));
  const struct {
    const char* name;
    int32_t precision;
  } precisions[] = {{"float32", MONOSEM_PRECISION_FLOAT32},
                    {"strict", MONOSEM_STRICT},
                    {"certified", MONOSEM_CERTIFIED},
                    {"fast", MONOSEM_FAST}};
  for (int64_t k : {int64_t{0}, int64_t{64}}) {
    monosem_sae_plan* plan = cpu::sae_plan({d_in, d_sae, matrix(w.get(), d_in, d_sae), bias.data(),
                                            theta.data(), nullptr, bias.data(), nullptr, k});
    for (int64_t tokens : {1, 8, 32, 512}) {
      const Memory<float> x = normals(tokens * d_in, 1, 5);
      for (const auto& precision : precisions) {
        const std::string name = std::string("encode ") + shape + (k > 0 ? " top 64" : "") +
                                 " batch " + std::to_string(tokens) + " " + precision.name;
        if (!wanted(name)) continue;
        monosem_csr csr{};
        monosem_sae_stats stats;
        const Seconds time = measure([&] {
          release(csr);
          cpu::sae_encode(*plan, x.get(), tokens, precision.precision, nullptr, nullptr, csr,
                          stats);
        });
        char note[160];
        std::snprintf(note, sizeof note, "%s, candidates %.1f, active %.1f, error/margin %.3f",
                      stats.path, stats.candidates, stats.active, stats.error_to_margin);
        report(name, time, 2.0 * tokens * d_in * d_sae, 4.0 * d_in * d_sae, note);
        release(csr);
      }
    }
    cpu::sae_plan_free(plan);
  }
  for (int64_t tokens : {1, 32, 512}) {
    const std::string name =
        "decode " + shape + " batch " + std::to_string(tokens) + " L0 " + std::to_string(active);
    if (!wanted(name)) continue;
    const Memory<float> x = normals(tokens * d_in, 1, 5), out(tokens * d_in), error(tokens * d_in);
    // Random distinct features: one from each of `active` equal ranges.
    test::Random random(6);
    std::vector<uint32_t> offsets{0}, indices;
    std::vector<float> values;
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < active; ++i) {
        indices.push_back(static_cast<uint32_t>(
            random.integer(i * d_sae / active, (i + 1) * d_sae / active - 1)));
        values.push_back(random.normal());
      }
      offsets.push_back(static_cast<uint32_t>(indices.size()));
    }
    const monosem_csr csr{tokens,         d_sae,          tokens * active,
                          offsets.data(), indices.data(), values.data()};
    monosem_decode d{};
    d.acts = &csr;
    d.w_dec = matrix(w_dec.get(), d_sae, d_in);
    d.b_dec = b_dec.data();
    d.out = out.get();
    d.x = x.get();
    d.error = error.get();
    const Seconds time = measure([&] { cpu::sae_decode(d); });
    report(name, time, 2.0 * tokens * active * d_in, 4.0 * tokens * active * d_in);
  }
}

}  // namespace

int main(int argc, char** argv) {
  words.assign(argv + 1, argv + argc);
  peak = bench::fma_peak();
  bandwidth = bench::read_bandwidth();
  std::printf(
      "%s, %d threads: FMA peak %.1f GFLOP/s, memory read %.1f GB/s, int8 peak %.1f GOP/s\n",
      cpu::isa_name(), ThreadPool::instance().threads(), peak * 1e-9, bandwidth * 1e-9,
      bench::int8_peak() * 1e-9);
  for (int64_t m : {1, 4, 16, 64, 512})
    for (bool transposed : {false, true}) bench_gemm(m, 3072, 768, transposed);
  for (bool transposed : {false, true}) bench_gemm(1, 8192, 4096, transposed);
  bench_gemm(512, 768, 3072, false);
  bench_gemm(1024, 1024, 1024, false);
  bench_sae(768, 24576, 100);
  bench_sae(2304, 16384, 100);
}
