#pragma once

// One CUDA block on the host: a fiber per thread, resumed in an order drawn from a seed. A thread
// runs until it waits for others, so whatever two threads do between the same two barriers happens
// in a random order, and an order that a kernel relies on without a barrier shows as a wrong
// result.
//
// Found and reported as Fault: a barrier that not all threads reach or that they reach at different
// places, a warp operation that not all 32 lanes take part in, a thread that ends while others
// wait. Shared memory, static and dynamic, is filled with garbage before every block.

#include <array>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>

namespace monosem::emulation {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Runs `kernel` once per thread of the grid, blocks one after another in a random order. One
/// launch at a time per process. Throws Fault.
void run(Dim3 grid, Dim3 block, size_t dynamic_shared, const std::function<void()>& kernel);

/// Starts the random orders anew; every later launch goes on from there.
void seed(uint64_t value);

/// Threads resumed so far: what a schedule costs.
uint64_t switches();

// ---- for the running thread

using Place = std::source_location;

/// Ends the launch with a Fault: the thread did what the device would answer with garbage.
[[noreturn]] __attribute__((format(printf, 1, 2))) void fault(const char* format, ...);

/// All threads of the block meet here.
void block_barrier(const Place& place);

/// All 32 lanes of the warp meet here, each handing over one object; the last one to come calls
/// `act` with the 32 objects in lane order, then all go on.
using Lanes = std::array<void*, 32>;
void warp_meet(void* mine, void (*act)(Lanes&, void*), void* context, const Place& place);

template <class T, class Act>
void warp_operation(T& mine, Act act, const Place& place) {
  warp_meet(&mine, [](Lanes& lanes, void* f) { (*static_cast<Act*>(f))(lanes); }, &act, place);
}

/// The lane's object in `lanes`, as its type.
template <class T>
T& lane_of(Lanes& lanes, int lane) {
  return *static_cast<T*>(lanes[static_cast<size_t>(lane)]);
}

/// Shared memory: the same address for every thread of the block. `key` tells static objects apart.
void* static_shared(const void* key, size_t bytes);
void* dynamic_shared();

/// A copy that the device may do at any moment until it is waited for.
void copy_later(void* to, const void* from, unsigned bytes, unsigned zeros);
void commit_copies();
/// Waits until at most `newest` committed groups are unfinished.
void wait_copies(unsigned newest);

uint32_t random_bits();

}  // namespace monosem::emulation
