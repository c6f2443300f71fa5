#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <exception>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// void monosem_switch_stacks(void** save, void* load): pushes what the System V ABI says a callee
// keeps, stores the stack pointer in *save, and goes on where `load` was stored. About 2 ns.
asm(R"(
.text
.type monosem_switch_stacks, @function
monosem_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size monosem_switch_stacks, .-monosem_switch_stacks
)");
extern "C" void monosem_switch_stacks(void** save, void* load);

namespace monosem::emulation {

namespace {
constexpr size_t kStack = 256 << 10;  // AddressSanitizer's frames are several times the usual size
constexpr size_t kGuard = 4 << 10;
Fiber* entering = nullptr;
}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<std::byte*>(memory);
  mprotect(stack_, kGuard, PROT_NONE);
}

Fiber::~Fiber() { munmap(stack_, kStack); }

void Fiber::start(void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  // A fiber given up half-way (after a deadlock) leaves its frames' red zones behind.
  __asan_unpoison_memory_region(stack_ + kGuard, kStack - kGuard);
#endif
  entry_ = entry;
  // Six registers to pop, then the address to return to, placed so that the stack is aligned as
  // after a call.
  auto* top = reinterpret_cast<uintptr_t*>(stack_ + kStack - 64);
  top[0] = reinterpret_cast<uintptr_t>(&Fiber::enter);
  for (int i = 1; i <= 6; ++i) top[-i] = 0;
  pointer_ = top - 6;
}

void Fiber::enter() {
  Fiber* self = entering;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(self->fake_stack_, &self->resumer_bottom_, &self->resumer_size_);
#endif
  self->entry_();
  std::terminate();
}

void Fiber::resume() {
  entering = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&resumer_fake_stack_, stack_ + kGuard, kStack - kGuard);
#endif
  monosem_switch_stacks(&resumer_, pointer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(resumer_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  // Its fake stack is kept for the next start as well: mapping one costs more than most threads do.
  __sanitizer_start_switch_fiber(&fake_stack_, resumer_bottom_, resumer_size_);
#endif
  monosem_switch_stacks(&pointer_, resumer_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &resumer_bottom_, &resumer_size_);
#endif
}

void Fiber::finish() {
  suspend();
  std::terminate();
}

}  // namespace monosem::emulation
