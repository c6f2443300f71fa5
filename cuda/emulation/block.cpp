#include "block.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "cuda_runtime.h"
#include "fiber.h"

namespace monosem::emulation {

namespace {

struct Copy {
  void* to;
  const void* from;
  unsigned bytes, zeros, group;
};

struct Meeting {
  unsigned arrived = 0;
  Place place;
};

struct Thread {
  Fiber fiber;
  Dim3 index;
  bool done = false;
  const char* waits = nullptr;
  std::vector<Copy> copies;
  unsigned group = 0;
};

struct Warp {
  Meeting meeting;
  Lanes lanes{};
};

struct Shared {
  const void* key;
  std::unique_ptr<std::byte[]> memory;  // of its exact size: AddressSanitizer sees an overrun
};

struct Block {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Warp> warps;
  Meeting meeting;
  std::vector<Shared> statics;
  std::unique_ptr<std::byte[]> dynamic;
  std::vector<unsigned> ready;
  unsigned size = 0;
  unsigned current = 0;
  // A fixed buffer: a thread that writes it never returns, so nothing it made is destroyed.
  char failure[512] = "";
  const std::function<void()>* kernel = nullptr;
};

std::mutex launching;
Block* block = nullptr;
uint64_t state = 0x9e3779b97f4a7c15u;
uint64_t resumed = 0;

Thread& self() { return *block->threads[block->current]; }

std::unique_ptr<std::byte[]> garbage(size_t bytes) {
  std::unique_ptr<std::byte[]> memory(new std::byte[bytes]);
  // NaN in every float format, or a large negative number.
  std::memset(memory.get(), random_bits() % 2 ? 0xff : 0xcd, bytes);
  return memory;
}

const char* file_of(const Place& place) {
  const char* slash = std::strrchr(place.file_name(), '/');
  return slash == nullptr ? place.file_name() : slash + 1;
}

std::string describe(const Place& place) {
  return std::string(file_of(place)) + ":" + std::to_string(place.line());
}

void wait(const char* what) {
  self().waits = what;
  self().fiber.suspend();
}

bool arrive(Meeting& meeting, unsigned needed, const Place& place, const char* what) {
  if (meeting.arrived == 0) {
    meeting.place = place;
  } else if (meeting.place.line() != place.line() ||
             std::strcmp(meeting.place.file_name(), place.file_name()) != 0) {
    fault("divergent %s: some threads are at %s:%u, another came to %s:%u", what,
          file_of(meeting.place), meeting.place.line(), file_of(place), place.line());
  }
  if (++meeting.arrived < needed) return false;
  meeting.arrived = 0;
  return true;
}

void wake(unsigned first, unsigned count) {
  for (unsigned i = first; i < first + count; ++i) {
    if (i != block->current) block->ready.push_back(i);
    block->threads[i]->waits = nullptr;
  }
}

void thread_main() {
  (*block->kernel)();
  self().done = true;
  self().fiber.finish();
}

std::string deadlock() {
  unsigned done = 0, barrier = 0, warp = 0;
  for (unsigned i = 0; i < block->size; ++i) {
    const Thread& thread = *block->threads[i];
    if (thread.done) {
      ++done;
    } else {
      ++(std::strcmp(thread.waits, "block") == 0 ? barrier : warp);
    }
  }
  if (done == block->size) return "";
  std::string text = "deadlock: of " + std::to_string(block->size) + " threads " +
                     std::to_string(barrier) + " wait at a block barrier";
  if (barrier > 0) text += " (" + describe(block->meeting.place) + ")";
  text += ", " + std::to_string(warp) + " for lanes of their warp";
  for (const Warp& w : block->warps) {
    if (w.meeting.arrived == 0) continue;
    text += " (" + describe(w.meeting.place) + ")";
    break;
  }
  return text + ", and " + std::to_string(done) + " have ended";
}

void run_block(Dim3 shape, size_t dynamic_shared) {
  block->meeting = {};
  block->warps.assign(block->size / 32, {});
  block->statics.clear();
  block->dynamic = garbage(dynamic_shared);
  block->ready.clear();
  for (unsigned i = 0; i < block->size; ++i) {
    Thread& thread = *block->threads[i];
    thread.index = {i % shape.x, i / shape.x % shape.y, i / (shape.x * shape.y)};
    thread.done = false;
    thread.waits = nullptr;
    thread.copies.clear();
    thread.group = 0;
    thread.fiber.start(thread_main);
    block->ready.push_back(i);
  }
  std::vector<unsigned>& ready = block->ready;
  while (!ready.empty() && block->failure[0] == '\0') {
    const size_t pick = random_bits() % ready.size();
    block->current = ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    ++resumed;
    threadIdx = self().index;
    self().fiber.resume();
  }
  if (block->failure[0] == '\0') {
    std::snprintf(block->failure, sizeof block->failure, "%s", deadlock().c_str());
  }
}

}  // namespace

uint32_t random_bits() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<uint32_t>(state >> 32);
}

void seed(uint64_t value) {
  std::lock_guard lock(launching);
  state = (value + 1) * 0x9e3779b97f4a7c15u;
}

uint64_t switches() { return resumed; }

void run(Dim3 grid, Dim3 shape, size_t dynamic_shared, const std::function<void()>& kernel) {
  std::lock_guard lock(launching);
  // Never destroyed: a static's destructor would race with a worker thread's last launch.
  static Block* const only = new Block;
  block = only;
  block->size = shape.x * shape.y * shape.z;
  if (block->size == 0 || block->size % 32 != 0 || block->size > 1024) {
    throw Fault("a block of " + std::to_string(block->size) +
                " threads: the kernels here use whole warps, at most 1024 threads");
  }
  while (block->threads.size() < block->size) {
    block->threads.push_back(std::make_unique<Thread>());
  }
  block->kernel = &kernel;
  block->failure[0] = '\0';
  gridDim = grid;
  blockDim = shape;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  // A random start and a stride without common factors visits every block once.
  uint64_t at = blocks > 1 ? random_bits() % blocks : 0;
  const bool backwards = random_bits() % 2;
  for (uint64_t i = 0; i < blocks; ++i) {
    blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                static_cast<unsigned>(at / grid.x / grid.y)};
    run_block(shape, dynamic_shared);
    if (block->failure[0] != '\0') throw Fault(block->failure);
    at = backwards ? (at == 0 ? blocks - 1 : at - 1) : (at + 1) % blocks;
  }
}

void fault(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(block->failure, sizeof block->failure, format, arguments);
  va_end(arguments);
  self().waits = "never";
  self().fiber.finish();
}

void block_barrier(const Place& place) {
  if (arrive(block->meeting, block->size, place, "block barrier")) {
    wake(0, block->size);
  } else {
    wait("block");
  }
}

void warp_meet(void* mine, void (*act)(Lanes&, void*), void* context, const Place& place) {
  Warp& warp = block->warps[block->current / 32];
  warp.lanes[block->current % 32] = mine;
  if (arrive(warp.meeting, 32, place, "warp operation")) {
    act(warp.lanes, context);
    wake(block->current / 32 * 32, 32);
  } else {
    wait("warp");
  }
}

void* static_shared(const void* key, size_t bytes) {
  for (const Shared& shared : block->statics) {
    if (shared.key == key) return shared.memory.get();
  }
  block->statics.push_back({key, garbage(bytes)});
  return block->statics.back().memory.get();
}

void* dynamic_shared() { return block->dynamic.get(); }

namespace {

void carry_out(const Copy& copy) {
  std::memcpy(copy.to, copy.from, copy.bytes);
  std::memset(static_cast<std::byte*>(copy.to) + copy.bytes, 0, copy.zeros);
}

}  // namespace

void copy_later(void* to, const void* from, unsigned bytes, unsigned zeros) {
  const Copy copy{to, from, bytes, zeros, self().group};
  // Half of them at once, half as late as allowed: the one shows a buffer overwritten while it is
  // still read, the other one read before it was waited for.
  if (random_bits() % 2) {
    carry_out(copy);
  } else {
    self().copies.push_back(copy);
  }
}

void commit_copies() { ++self().group; }

void wait_copies(unsigned newest) {
  std::vector<Copy>& copies = self().copies;
  std::erase_if(copies, [&](const Copy& copy) {
    if (copy.group + newest >= self().group) return false;
    carry_out(copy);
    return true;
  });
}

}  // namespace monosem::emulation
