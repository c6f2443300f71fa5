#pragma once

// A stack of its own that runs until it suspends: what stands in for a CUDA thread on the host.
// x86-64 only. AddressSanitizer is told about every switch.

#include <cstddef>

namespace monosem::emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() enters `entry` on a fresh stack. `entry` never returns: it ends with
  /// finish().
  void start(void (*entry)());
  /// Runs the fiber until it suspends or finishes. Called from the thread's own stack.
  void resume();
  /// Back to whoever resumed; returns at the next resume().
  void suspend();
  /// Back to whoever resumed, for good.
  [[noreturn]] void finish();

 private:
  static void enter();

  std::byte* stack_;         // the lowest page is a guard
  void* pointer_ = nullptr;  // the fiber's stack pointer while it is suspended
  void* resumer_ = nullptr;  // the resumer's stack pointer while the fiber runs
  void (*entry_)() = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while it does not run
  void* resumer_fake_stack_ = nullptr;
  const void* resumer_bottom_ = nullptr;
  size_t resumer_size_ = 0;
};

}  // namespace monosem::emulation
