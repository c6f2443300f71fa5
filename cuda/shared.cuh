#pragma once

// Shared memory by type. A kernel names what it shares as one struct; the host emulation gives the
// same struct from a block of its own, filled with garbage.

#include <cuda_runtime.h>

namespace monosem::cuda {

#ifdef MONOSEM_EMULATED

template <class T>
T& shared_memory() {
  static const char key = 0;
  return *static_cast<T*>(emulation::static_shared(&key, sizeof(T)));
}

template <class T>
T& dynamic_shared_memory() {
  return *static_cast<T*>(emulation::dynamic_shared());
}

#else

/// The block's one T. Its size is in ptxas' report, which scripts/ptxas_gate.mjs reads.
template <class T>
__device__ __forceinline__ T& shared_memory() {
  __shared__ alignas(16) unsigned char memory[sizeof(T)];
  return *reinterpret_cast<T*>(memory);
}

/// What the launch asked for beyond that, as T: for more than the 48 KiB of static shared memory.
template <class T>
__device__ __forceinline__ T& dynamic_shared_memory() {
  extern __shared__ __align__(16) unsigned char dynamic_memory[];
  return *reinterpret_cast<T*>(dynamic_memory);
}

#endif

}  // namespace monosem::cuda
