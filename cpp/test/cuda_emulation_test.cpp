// The host emulation itself: that it finds the mistakes it is there for.

#include <set>
#include <string>

#include "cuda_runtime.h"
#include "ptx.cuh"
#include "shared.cuh"
#include "test/check.h"
#include "test/random.h"

#include "core/half.h"

namespace {

using namespace monosem;

std::string fault_of(unsigned threads, const std::function<void()>& kernel) {
  try {
    emulation::run({1, 1, 1}, {threads, 1, 1}, 0, kernel);
  } catch (const emulation::Fault& fault) {
    return fault.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(cuda_emulation_reports_divergent_barriers) {
  std::string text = fault_of(64, [] {
    if (threadIdx.x != 7) __syncthreads();
  });
  CHECK(contains(text, "deadlock") && contains(text, "63 wait at a block barrier"), text);
  text = fault_of(64, [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  });
  CHECK(contains(text, "divergent block barrier"), text);
  text = fault_of(32, [] {
    if (threadIdx.x % 2 == 0) __shfl_xor_sync(~0u, 1, 1);
  });
  CHECK(contains(text, "16 for lanes of their warp"), text);
  text = fault_of(32, [] { __shfl_xor_sync(0xffffu, 1, 1); });
  CHECK(contains(text, "some lanes only"), text);
  CHECK(contains(fault_of(33, [] {}), "whole warps"), "33 threads");
  CHECK(fault_of(64, [] { __syncthreads(); }).empty(), "a barrier that all reach");
}

TEST(cuda_emulation_shows_a_missing_barrier) {
  // Every thread reads its neighbour's word; without a barrier some read garbage.
  struct Words {
    unsigned of[64];
  };
  const auto wrong_words = [](bool barrier) {
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      emulation::seed(seed);
      emulation::run({1, 1, 1}, {64, 1, 1}, 0, [&] {
        auto& words = cuda::shared_memory<Words>();
        words.of[threadIdx.x] = threadIdx.x;
        if (barrier) __syncthreads();
        const unsigned next = (threadIdx.x + 1) % 64;
        wrong += words.of[next] != next;
      });
    }
    return wrong;
  };
  CHECK(wrong_words(false) > 0, "the race went unnoticed");
  CHECK(wrong_words(true) == 0, "a barrier did not help");
}

TEST(cuda_emulation_visits_every_block_and_thread_in_differing_orders) {
  std::set<std::vector<unsigned>> orders;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    std::vector<unsigned> order;
    emulation::seed(seed);
    emulation::run({3, 2, 2}, {32, 2, 1}, 0, [&] {
      order.push_back(threadIdx.x + 32 * threadIdx.y +
                      64 * (blockIdx.x + 3 * (blockIdx.y + 2 * blockIdx.z)));
    });
    CHECK(std::set<unsigned>(order.begin(), order.end()).size() == 12 * 64, "some ran twice");
    orders.insert(order);
  }
  CHECK(orders.size() == 4, "seeds share an order");
}

TEST(cuda_emulation_delays_asynchronous_copies) {
  alignas(16) static uint32_t source[4 * 32];
  for (uint32_t i = 0; i < 4 * 32; ++i) source[i] = i;
  struct Ring {
    alignas(16) uint32_t word[4 * 32];
  };
  const auto unarrived = [&](bool waits) {
    int wrong = 0;
    emulation::seed(3);
    emulation::run({1, 1, 1}, {32, 1, 1}, 0, [&] {
      auto& ring = cuda::shared_memory<Ring>();
      cuda::copy_async_16(&ring.word[4 * threadIdx.x], &source[4 * threadIdx.x], threadIdx.x != 5);
      cuda::copy_async_commit();
      if (waits) cuda::copy_async_wait<0>();
      const uint32_t want = threadIdx.x == 5 ? 0 : 4 * threadIdx.x;
      wrong += ring.word[4 * threadIdx.x] != want;
    });
    return wrong;
  };
  CHECK(unarrived(false) > 0, "a copy that nobody waited for had arrived everywhere");
  CHECK(unarrived(true) == 0, "a copy had not arrived after the wait");
}

TEST(cuda_emulation_multiplies_fragments_by_the_manual) {
  // A [16, 16] row major and B [8, 16] (its transpose) through ldmatrix and mma.
  struct Tiles {
    alignas(16) uint16_t a[16][16], b[16][16];
  };
  test::Random random(5);
  float a[16][16], b[16][16];
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      a[i][j] = static_cast<float>(random.integer(-20, 20));
      b[i][j] = static_cast<float>(random.integer(-20, 20));
    }
  }
  float c[16][16];
  emulation::run({1, 1, 1}, {32, 1, 1}, 0, [&] {
    auto& s = cuda::shared_memory<Tiles>();
    const int lane = static_cast<int>(threadIdx.x);
    for (int e = lane; e < 256; e += 32) {
      s.a[e / 16][e % 16] = to_float16(a[e / 16][e % 16]);
      s.b[e / 16][e % 16] = to_float16(b[e / 16][e % 16]);
    }
    __syncthreads();
    uint32_t x[4], w[4];
    cuda::load_matrix_x4(x, &s.a[lane % 16][lane / 16 * 8]);
    cuda::load_matrix_x4(w, &s.b[lane % 8 + lane / 16 * 8][lane / 8 % 2 * 8]);
    for (int half = 0; half < 2; ++half) {
      const uint32_t column[2] = {w[2 * half], w[2 * half + 1]};
      const float zero[4] = {};
      float d[4];
      cuda::multiply_f16(d, x, column, zero);
      for (int i = 0; i < 4; ++i) {
        c[lane / 4 + i / 2 * 8][8 * half + lane % 4 * 2 + i % 2] = d[i];
      }
    }
  });
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 16; ++j) {
      float want = 0;
      for (int k = 0; k < 16; ++k) want += a[i][k] * b[j][k];
      CHECK(c[i][j] == want, i << ' ' << j << ": " << c[i][j] << ", not " << want);
    }
  }
}
