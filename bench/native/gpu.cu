// Times encode, decode and both on one GPU by CUDA events, and the limits of the same machine, one
// JSON object per line. Inputs rotate, and L2 is flushed before every call. No Node in it.
//
//   monosem_gpu_bench D_IN D_SAE L0 BATCH float32|bfloat16
//
// Compiled for the host emulation it prints "emulated": true and no times.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "core/half.h"
#include "device.cuh"
#include "operators.cuh"

namespace {

using monosem::cuda::check;
using monosem::cuda::Device;
using monosem::cuda::Scratch;

#ifdef MONOSEM_EMULATED
constexpr bool kEmulated = true;
constexpr int kRounds = 1;
constexpr int64_t kFlushBytes = 1 << 10;
#else
constexpr bool kEmulated = false;
constexpr int kRounds = 30;
constexpr int64_t kFlushBytes = 256 << 20;  // several times any L2
#endif

/// Median milliseconds of `work(i)`, with L2 holding something else before each.
template <class Work>
double milliseconds(Device& device, Work work) {
  const Scratch<char> flush(device, kFlushBytes);
  cudaEvent_t start = nullptr, stop = nullptr;
  check(cudaEventCreateWithFlags(&start, 0), "an event");
  check(cudaEventCreateWithFlags(&stop, 0), "an event");
  std::vector<float> times;
  for (int i = -3; i < kRounds; ++i) {
    check(cudaMemsetAsync(flush.get(), i & 255, kFlushBytes, device.stream()), "flushing L2");
    check(cudaEventRecord(start, device.stream()), "an event");
    work(i + 3);
    check(cudaEventRecord(stop, device.stream()), "an event");
    check(cudaEventSynchronize(stop), "an event");
    float time = 0;
    check(cudaEventElapsedTime(&time, start, stop), "an event");
    if (i >= 0) times.push_back(time);
  }
  cudaEventDestroy(start);
  cudaEventDestroy(stop);
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

void row(const char* name, double time, double bytes) {
  std::printf("{\"name\": \"%s\", \"emulated\": %s, \"ms\": %.6g, \"gb_per_s\": %.6g}\n", name,
              kEmulated ? "true" : "false", kEmulated ? 0.0 : time,
              kEmulated ? 0.0 : bytes / time / 1e6);
}

template <class T>
void send(Device& device, const Scratch<T>& to, const std::vector<T>& values) {
  device.upload(to.get(), values.data(), sizeof(T) * values.size());
}

int bench(int64_t d_in, int64_t d_sae, int64_t l0, int64_t batch, bool bfloat16) {
  Device device(0);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const size_t item = bfloat16 ? 2 : 4;
  const int32_t dtype = bfloat16 ? MONOSEM_BFLOAT16 : MONOSEM_FLOAT32;
  // Unit decoder rows, the encoder their transpose: [d_sae, d_in], read as [d_in, d_sae].
  const Scratch<char> weights(device, d_sae * d_in * static_cast<int64_t>(item));
  {
    std::vector<float> all(static_cast<size_t>(d_sae * d_in));
    for (float& w : all) w = normal(random) / std::sqrt(static_cast<float>(d_in));
    if (bfloat16) {
      std::vector<uint16_t> rounded(all.size());
      std::transform(all.begin(), all.end(), rounded.begin(), monosem::to_bfloat16);
      device.upload(weights.get(), rounded.data(), 2 * rounded.size());
    } else {
      device.upload(weights.get(), all.data(), 4 * all.size());
    }
  }
  // Gaussian inputs make unit-variance pre-activations: the threshold that l0 of d_sae pass.
  const double share = static_cast<double>(l0) / static_cast<double>(d_sae);
  double low = -8, high = 8;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) / 2 > share ? low : high) = middle;
  }
  const Scratch<float> zero(device, d_sae), theta(device, d_sae);
  send(device, zero, std::vector<float>(static_cast<size_t>(d_sae)));
  send(device, theta, std::vector<float>(static_cast<size_t>(d_sae), static_cast<float>(low)));
  constexpr int kInputs = 4;
  const Scratch<float> x(device, kInputs * batch * d_in), out(device, batch * d_in),
      error(device, batch * d_in);
  {
    std::vector<float> all(static_cast<size_t>(kInputs * batch * d_in));
    for (float& v : all) v = normal(random);
    send(device, x, all);
  }
  const monosem_sae_encoder encoder{
      d_in,       d_sae,       {weights.get(), dtype, 2, {d_in, d_sae}, {1, d_in}},
      zero.get(), theta.get(), nullptr,
      zero.get(), nullptr,     0};
  monosem_sae_plan* plan = nullptr;
  monosem::cuda::sae_plan(device, &encoder, &plan);
  monosem_sae_stats stats{};
  const auto encode = [&](int i) {
    monosem_csr acts{};
    monosem::cuda::sae_encode(device, plan, x.get() + i % kInputs * batch * d_in, batch,
                              MONOSEM_STRICT, nullptr, nullptr, &acts, &stats);
    return acts;
  };
  const auto release = [&](const monosem_csr& acts) {
    device.release(acts.row_offsets);
    device.release(acts.indices);
    device.release(acts.values);
  };
  const auto decode = [&](const monosem_csr& acts, int i) {
    const monosem_decode d{&acts,
                           {weights.get(), dtype, 2, {d_sae, d_in}, {d_in, 1}},
                           nullptr,
                           nullptr,
                           MONOSEM_NORMALIZE_NONE,
                           nullptr,
                           1.0f,
                           nullptr,
                           out.get(),
                           x.get() + i % kInputs * batch * d_in,
                           error.get()};
    monosem::cuda::sae_decode(device, &d);
  };
  const double plane = static_cast<double>(d_in * d_sae) * (bfloat16 ? 2 : 4);
  row("encode", milliseconds(device, [&](int i) { release(encode(i)); }), plane);
  const monosem_csr acts = encode(0);
  const double gathered = static_cast<double>(acts.nnz * d_in) * static_cast<double>(item);
  row("decode + error", milliseconds(device, [&](int i) { decode(acts, i); }),
      gathered + 12.0 * static_cast<double>(batch * d_in));
  release(acts);
  row("encode + decode + error",
      milliseconds(device,
                   [&](int i) {
                     const monosem_csr some = encode(i);
                     decode(some, i);
                     release(some);
                   }),
      plane + gathered);
  const int64_t copied = kEmulated ? 1 << 10 : int64_t{512} << 20;
  const Scratch<char> from(device, copied), to(device, copied);
  row("limit: copy",
      milliseconds(device,
                   [&](int) {
                     check(cudaMemcpyAsync(to.get(), from.get(), copied, cudaMemcpyDeviceToDevice,
                                           device.stream()),
                           "a copy");
                   }),
      2.0 * static_cast<double>(copied));
  monosem_device_info info{};
  monosem::cuda::device_info(0, info);
  std::printf(
      "{\"device\": \"%s\", \"units\": %d, \"detail\": \"%s\", \"path\": \"%s\", \"l0\": %.4g}\n",
      info.name, info.units, info.detail, stats.path, stats.active);
  monosem::cuda::sae_plan_free(device, plan);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: %s D_IN D_SAE L0 BATCH float32|bfloat16\n", argv[0]);
    return 2;
  }
  try {
    return bench(std::atoll(argv[1]), std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]),
                 std::strcmp(argv[5], "bfloat16") == 0);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "no GPU was timed: %s\n", failure.what());
    return 3;
  }
}
