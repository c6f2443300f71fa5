#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "cpu/ops.h"
#include "test/check.h"
#include "test/random.h"

namespace {

using monosem::cpu::allocate;
using monosem::cpu::release;

uint64_t in_use() {
  uint64_t used = 0, cached = 0;
  monosem::cpu::memory(&used, &cached);
  return used;
}
uint64_t cached() {
  uint64_t used = 0, kept = 0;
  monosem::cpu::memory(&used, &kept);
  return kept;
}

TEST(allocator_gives_aligned_writable_blocks_of_every_size) {
  const uint64_t before = in_use();
  for (size_t bytes : {0, 1, 63, 64, 65, 1000, 4096, 100000, 1 << 20, (1 << 20) + 1, 9 << 20}) {
    void* block = allocate(bytes);
    CHECK(block != nullptr && reinterpret_cast<uintptr_t>(block) % 64 == 0, bytes);
    std::memset(block, 1, bytes);
    const uint64_t held = in_use() - before;
    CHECK(held >= bytes && held <= bytes + bytes / 8 + 64, bytes << " counted as " << held);
    release(block);
  }
  CHECK(in_use() == before, in_use());
  release(nullptr);
}

TEST(allocator_reuses_and_trims) {
  monosem::cpu::trim();
  CHECK(cached() == 0, cached());
  void* first = allocate(3 << 20);
  release(first);
  CHECK(cached() >= 3 << 20, cached());
  void* second = allocate((3 << 20) - 100);
  CHECK(first == second, "a freed block of the class is handed out again");
  CHECK(cached() == 0, cached());
  release(second);
  monosem::cpu::trim();
  CHECK(cached() == 0, cached());
}

TEST(allocator_refuses_absurd_sizes) {
  for (size_t bytes : {SIZE_MAX, SIZE_MAX / 2, size_t{1} << 50}) {
    std::string code, message;
    try {
      release(allocate(bytes));
    } catch (const monosem::Error& error) {
      code = error.code();
      message = error.what();
    }
    CHECK(code == "ERR_OUT_OF_MEMORY", code);
    CHECK(message.find(std::to_string(bytes)) != std::string::npos, message);
  }
}

TEST(allocator_serves_many_threads) {
  const uint64_t before = in_use();
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      monosem::test::Random random(t);
      std::vector<std::pair<unsigned char*, size_t>> held;
      for (int i = 0; i < 2000; ++i) {
        const size_t bytes = static_cast<size_t>(random.integer(1, 20000));
        auto* block = static_cast<unsigned char*>(allocate(bytes));
        block[0] = block[bytes - 1] = static_cast<unsigned char>(t);
        held.push_back({block, bytes});
        if (held.size() > 20) {
          auto [oldest, size] = held[static_cast<size_t>(random.integer(0, 20))];
          if (oldest[0] != t || oldest[size - 1] != t) std::abort();
          std::erase_if(held, [&, gone = oldest](const auto& h) { return h.first == gone; });
          release(oldest);
        }
      }
      for (auto& [block, size] : held) release(block);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(in_use() == before, in_use());
}

}  // namespace
