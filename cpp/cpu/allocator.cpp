// A caching allocator. A forward pass asks for the same sizes again and again: freed blocks wait in
// lists by size class and are handed out again without a system call or a page fault. Blocks of
// 1 MiB and more are mapped (with huge pages), smaller ones come from malloc, which reuses its
// memory well as long as nobody asks it for alignment.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "cpu/available_memory.h"
#include "cpu/form_cache.h"
#include "cpu/ops.h"

namespace monosem::cpu {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kMapped = size_t{1} << 20;
constexpr size_t kHugePage = size_t{2} << 20;
// From here on a new block asks first whether there is memory for it: the asking costs less than a
// hundredth of the block's page faults.
constexpr size_t kLarge = size_t{16} << 20;

/// Stands in the 64 bytes before every block.
struct Block {
  Block* newer;
  Block* older;
  void* base;     // what malloc or mmap returned
  size_t length;  // ... and its length, for munmap
  size_t usable;  // the size class' bytes
  uint64_t freed_at;
  int size_class;
};
static_assert(sizeof(Block) <= kAlign);

/// Eight classes per power of two: at most an eighth is wasted.
int class_of(size_t bytes) {
  bytes = std::max(bytes, kAlign) - 1;
  int exponent = std::bit_width(bytes) - 4;  // 8 <= bytes >> exponent < 16
  return exponent * 8 + static_cast<int>(bytes >> exponent) - 8;
}
size_t class_bytes(int size_class) {
  return static_cast<size_t>(size_class % 8 + 9) << (size_class / 8);
}

/// Of what is cached, an eighth of all memory stays; the oldest goes first.
uint64_t cache_limit() { return total_memory() / 8; }

char* aligned_after_header(void* base, size_t alignment) {
  uintptr_t first = reinterpret_cast<uintptr_t>(base) + sizeof(Block);
  return reinterpret_cast<char*>((first + alignment - 1) / alignment * alignment);
}

Block* header_of(void* pointer) { return static_cast<Block*>(pointer) - 1; }

/// Null when the system has no more.
void* make_block(int size_class) {
  const size_t usable = class_bytes(size_class);
  const bool mapped = usable >= kMapped;
  const size_t length = usable + sizeof(Block) + kAlign;
  void* base =
      mapped ? mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
             : std::malloc(length);
  if (base == nullptr || base == MAP_FAILED) return nullptr;
  // Advice only: without transparent huge pages it changes nothing.
  if (length >= 2 * kHugePage) madvise(base, length, MADV_HUGEPAGE);
  char* data = aligned_after_header(base, kAlign);
  *header_of(data) = {nullptr, nullptr, base, length, usable, 0, size_class};
  return data;
}

void unmake_block(Block* block) noexcept {
  void* base = block->base;
  if (block->usable >= kMapped) {
    munmap(base, block->length);
  } else {
    std::free(base);
  }
}

/// Trivially destructible on purpose: tensors may be released while the process' statics go down.
class Cache {
 public:
  void* take(int size_class) {
    std::lock_guard lock(mutex_);
    Block* block = lists_[size_class].newest;
    if (!block) return nullptr;
    unlink(block);
    in_use_ += block->usable;
    return block + 1;
  }

  void count_new(int size_class) {
    std::lock_guard lock(mutex_);
    in_use_ += class_bytes(size_class);
  }

  void give(Block* block) noexcept {
    std::lock_guard lock(mutex_);
    in_use_ -= block->usable;
    cached_ += block->usable;
    block->freed_at = ++clock_;
    List& list = lists_[block->size_class];
    block->newer = nullptr;
    block->older = list.newest;
    (list.newest ? list.newest->newer : list.oldest) = block;
    list.newest = block;
    while (cached_ > cache_limit()) unmake_block(pop_oldest());
  }

  void trim() noexcept {
    std::lock_guard lock(mutex_);
    while (cached_ > 0) unmake_block(pop_oldest());
  }

  void figures(uint64_t* in_use, uint64_t* cached) noexcept {
    std::lock_guard lock(mutex_);
    *in_use = in_use_;
    *cached = cached_;
  }

 private:
  struct List {
    Block* newest;
    Block* oldest;
  };

  void unlink(Block* block) noexcept {
    List& list = lists_[block->size_class];
    (block->newer ? block->newer->older : list.newest) = block->older;
    (block->older ? block->older->newer : list.oldest) = block->newer;
    cached_ -= block->usable;
  }

  Block* pop_oldest() noexcept {
    Block* oldest = nullptr;
    for (const List& list : lists_)
      if (list.oldest && (!oldest || list.oldest->freed_at < oldest->freed_at))
        oldest = list.oldest;
    unlink(oldest);
    return oldest;
  }

  std::mutex mutex_;
  List lists_[64 * 8] = {};
  uint64_t in_use_ = 0, cached_ = 0, clock_ = 0;
};
static_assert(std::is_trivially_destructible_v<Cache>);
constinit Cache cache;

[[noreturn]] void throw_out_of_memory(size_t bytes) {
  uint64_t in_use = 0, cached = 0;
  cache.figures(&in_use, &cached);
  throw Error(kOutOfMemory, "expected " + std::to_string(bytes) +
                                " bytes of memory for a tensor, but there are " +
                                std::to_string(total_memory()) + ", of which tensors hold " +
                                std::to_string(in_use) +
                                ": dispose of tensors, or use smaller batches");
}

}  // namespace

void* allocate(size_t bytes) {
  // Linux promises memory that it does not have; writing to it would then end the process.
  if (bytes > total_memory()) throw_out_of_memory(bytes);
  const int size_class = class_of(bytes);
  if (void* reused = cache.take(size_class)) return reused;
  // Linux rarely refuses; it promises, and ends the process that takes it at its word.
  if (bytes >= kLarge) make_room(bytes);
  const auto make = [&]() -> void* {
    uint64_t in_use = 0, cached = 0;
    cache.figures(&in_use, &cached);
    if (in_use + bytes > total_memory()) return nullptr;
    if (in_use + cached + bytes > total_memory()) cache.trim();
    return make_block(size_class);
  };
  void* block = make();
  if (!block) {
    cache.trim();
    block = make();
  }
  while (!block && release_oldest_form()) block = make();
  if (!block) throw_out_of_memory(bytes);
  cache.count_new(size_class);
  return block;
}

void release(void* pointer) noexcept {
  if (pointer) cache.give(header_of(pointer));
}

void memory(uint64_t* in_use, uint64_t* cached) noexcept { cache.figures(in_use, cached); }

void trim() noexcept { cache.trim(); }

}  // namespace monosem::cpu
