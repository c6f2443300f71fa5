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
#include "synthetic.h"
#include "test/random.h"

namespace {

using namespace monosem;
using bench::normals;
using cpu::Memory;

std::vector<std::string> words;
double peak, bfloat16_peak, bandwidth;

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

/// Of several bodies in turns, so that a machine that slows down slows them all.
std::vector<Seconds> measure_in_turns(const std::vector<std::function<void()>>& bodies) {
  std::vector<std::vector<double>> times(bodies.size());
  for (int run = -1; run < 9; ++run)
    for (size_t i = 0; i < bodies.size(); ++i) {
      const double start = bench::seconds();
      bodies[i]();
      if (run >= 0) times[i].push_back(bench::seconds() - start);
    }
  std::vector<Seconds> measured;
  for (std::vector<double>& of_one : times) {
    std::sort(of_one.begin(), of_one.end());
    measured.push_back({of_one[of_one.size() / 2], of_one[0]});
  }
  return measured;
}

Seconds measure(const std::function<void()>& body) { return measure_in_turns({body})[0]; }

void report(const std::string& name, Seconds time, double flops, double bytes,
            const std::string& note = "") {
  std::printf("%-46s %9.3f ms (best %9.3f) %7.1f GFLOP/s %3.0f %% %6.1f GB/s %4.0f %%  %s\n",
              name.c_str(), time.median * 1e3, time.best * 1e3, flops / time.median * 1e-9,
              100 * flops / time.median / peak, bytes / time.median * 1e-9,
              100 * bytes / time.median / bandwidth, note.c_str());
  std::fflush(stdout);
}

monosem_view matrix(float* data, int64_t rows, int64_t columns) {
  return {data, MONOSEM_FLOAT32, 2, {rows, columns}, {columns, 1}};
}

monosem_gemm product(const void* a, const void* b, void* c, int32_t dtype, int64_t m, int64_t n,
                     int64_t k, bool transposed) {
  const auto batch_of_one = [&](const void* data, int64_t rows, int64_t columns) {
    return monosem_view{
        const_cast<void*>(data), dtype, 3, {1, rows, columns}, {rows * columns, columns, 1}};
  };
  monosem_gemm g{
      batch_of_one(a, m, k), batch_of_one(b, k, n), batch_of_one(c, m, n), nullptr, 1.0f, -1};
  if (transposed) {
    g.b.stride[1] = 1;
    g.b.stride[2] = k;
  }
  return g;
}

Memory<uint16_t> bfloat16(const Memory<float>& values, int64_t count) {
  Memory<uint16_t> rounded(count);
  cpu::copy({rounded.get(), MONOSEM_BFLOAT16, 1, {count}, {1}},
            {values.get(), MONOSEM_FLOAT32, 1, {count}, {1}});
  return rounded;
}

/// float32, and bfloat16 held and multiplied.
void bench_gemm(int64_t m, int64_t n, int64_t k, bool transposed) {
  const std::string name = "gemm " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                           std::to_string(k) + (transposed ? " b transposed" : "");
  if (!wanted(name) && !wanted(name + " bfloat16")) return;
  const Memory<float> a = normals(m * k, 1, 1), b = normals(k * n, 1, 2), c(m * n);
  const Memory<uint16_t> a16 = bfloat16(a, m * k), b16 = bfloat16(b, k * n), c16(m * n);
  const monosem_gemm wide =
                         product(a.get(), b.get(), c.get(), MONOSEM_FLOAT32, m, n, k, transposed),
                     narrow = product(a16.get(), b16.get(), c16.get(), MONOSEM_BFLOAT16, m, n, k,
                                      transposed);
  const std::vector<Seconds> times =
      measure_in_turns({[&] { cpu::gemm(wide); }, [&] { cpu::gemm(narrow); }});
  const double flops = 2.0 * m * n * k, values = 1.0 * (k * n + m * k + m * n);
  report(name, times[0], flops, 4 * values);
  char note[80];
  int length = std::snprintf(note, sizeof note, "%.2fx float32", times[0].median / times[1].median);
  if (bfloat16_peak > 0)
    std::snprintf(note + length, sizeof note - static_cast<size_t>(length),
                  ", %.0f %% of the bfloat16 peak", 100 * flops / times[1].median / bfloat16_peak);
  report(name + " bfloat16", times[1], flops, 2 * values, note);
}

void release(monosem_csr& csr) {
  cpu::release(csr.row_offsets);
  cpu::release(csr.indices);
  cpu::release(csr.values);
}

void bench_sae(int64_t d_in, int64_t d_sae, int64_t active) {
  const std::string shape = std::to_string(d_in) + " x " + std::to_string(d_sae);
  if (!maybe_wanted("encode " + shape) && !maybe_wanted("decode " + shape)) return;
  const bench::SyntheticSae sae(d_in, d_sae, active);
  const std::vector<float> theta(d_sae, 0.0f);
  const struct {
    const char* name;
    int32_t precision;
  } precisions[] = {{"float32", MONOSEM_PRECISION_FLOAT32},
                    {"strict", MONOSEM_STRICT},
                    {"certified", MONOSEM_CERTIFIED},
                    {"fast", MONOSEM_FAST}};
  for (int64_t k : {int64_t{0}, int64_t{64}}) {
    cpu::EncoderPlan* plan =
        cpu::sae_plan({d_in, d_sae, matrix(sae.w_enc.get(), d_in, d_sae), sae.bias.data(),
                       theta.data(), nullptr, sae.bias.data(), nullptr, k});
    for (int64_t tokens : {1, 8, 32, 512}) {
      const Memory<float> x = sae.tokens(tokens, 2);
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
    d.w_dec = matrix(sae.w_dec.get(), d_sae, d_in);
    d.b_dec = sae.offset.data();
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
  bfloat16_peak = bench::bfloat16_peak();
  std::printf(
      "%s, %d threads: FMA peak %.1f GFLOP/s, memory read %.1f GB/s, int8 peak %.1f GOP/s, "
      "bfloat16 peak %.1f GFLOP/s\n",
      cpu::isa_name(), ThreadPool::instance().threads(), peak * 1e-9, bandwidth * 1e-9,
      bench::int8_peak() * 1e-9, bfloat16_peak * 1e-9);
  for (int64_t m : {1, 4, 16, 64, 512})
    for (bool transposed : {false, true}) bench_gemm(m, 3072, 768, transposed);
  for (bool transposed : {false, true}) bench_gemm(1, 8192, 4096, transposed);
  bench_gemm(512, 768, 3072, false);
  bench_gemm(1024, 1024, 1024, false);
  bench_gemm(512, 50257, 768, true);
  bench_sae(768, 24576, 100);
  bench_sae(2304, 16384, 100);
}
