#include "synthetic.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/thread_pool.h"
#include "test/random.h"

namespace monosem::bench {
namespace {

// Massive activations: so many dimensions carry most of a token's norm, whatever it says. They vary
// by a fifth between tokens, and encoders read little of them.
constexpr int64_t kMassive = 6;
constexpr float kMassiveReadout = 0.05f;
int64_t massive_dimension(int64_t n, int64_t d_in) { return (2 * n + 1) * d_in / (2 * kMassive); }

float dot(const float* a, const float* b, int64_t length) {
  float sum = 0;
  for (int64_t i = 0; i < length; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

cpu::Memory<float> normals(int64_t count, double scale, uint64_t seed) {
  cpu::Memory<float> values(count);
  ThreadPool::instance().run(count, 1 << 16, [&](int64_t begin, int64_t end, int) {
    test::Random random(seed + static_cast<uint64_t>(begin));
    for (int64_t i = begin; i < end; ++i) values[i] = static_cast<float>(scale) * random.normal();
  });
  return values;
}

SyntheticSae::SyntheticSae(int64_t d_in_of, int64_t d_sae_of, int64_t active_of)
    : d_in(d_in_of),
      d_sae(d_sae_of),
      active(active_of),
      w_enc(d_in * d_sae),
      w_dec(normals(d_sae * d_in, 1 / std::sqrt(d_in), 3)),
      offset(d_in),
      bias(d_sae) {
  test::Random random(4);
  for (float& value : offset) value = 0.3f * random.normal();
  for (int64_t n = 0; n < kMassive; ++n)
    offset[massive_dimension(n, d_in)] =
        (random.chance(0.5) ? 1.0f : -1.0f) * random.uniform(80, 400);
  ThreadPool::instance().run(d_sae, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t f = begin; f < end; ++f) {
      for (int64_t n = 0; n < kMassive; ++n)
        w_dec[f * d_in + massive_dimension(n, d_in)] *= kMassiveReadout;
      for (int64_t i = 0; i < d_in; ++i) w_enc[i * d_sae + f] = w_dec[f * d_in + i];
      bias[f] = -dot(&w_dec[f * d_in], offset.data(), d_in);
    }
  });
  // The threshold that `active` features of a token reach: the mean of a few tokens.
  constexpr int64_t kTokens = 8;
  const cpu::Memory<float> x = tokens(kTokens, 5);
  float threshold = 0;
  std::vector<float> sums(d_sae);
  for (int64_t t = 0; t < kTokens; ++t) {
    ThreadPool::instance().run(d_sae, 64, [&](int64_t begin, int64_t end, int) {
      for (int64_t f = begin; f < end; ++f)
        sums[f] = dot(&x[t * d_in], &w_dec[f * d_in], d_in) + bias[f];
    });
    std::nth_element(sums.begin(), sums.begin() + active, sums.end(), std::greater<>());
    threshold += sums[active] / kTokens;
  }
  for (float& value : bias) value -= threshold;
}

cpu::Memory<float> SyntheticSae::tokens(int64_t count, uint64_t seed) const {
  cpu::Memory<float> x(count * d_in);
  ThreadPool::instance().run(count, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      test::Random random((seed << 32) + static_cast<uint64_t>(t));
      float* row = &x[t * d_in];
      for (int64_t i = 0; i < d_in; ++i) row[i] = offset[i] + 0.01f * random.normal();
      for (int64_t n = 0; n < kMassive; ++n)
        row[massive_dimension(n, d_in)] *= 1 + 0.2f * random.normal();
      for (int64_t n = 0; n < active; ++n) {
        const float* direction = &w_dec[random.integer(0, d_sae - 1) * d_in];
        const float strength = random.uniform(4, 8);
        for (int64_t i = 0; i < d_in; ++i) row[i] += strength * direction[i];
      }
    }
  });
  return x;
}

}  // namespace monosem::bench
