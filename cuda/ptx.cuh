#pragma once

// The instructions that C++ has no words for, each behind one function. The host emulation has
// models of them (emulation/ptx.h), so a kernel's source says nothing of where it runs.

#include <cuda_runtime.h>

#include <cstdint>

#ifdef MONOSEM_EMULATED
#include "emulation/ptx.h"
#else

namespace monosem::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// 16 bytes from global to shared memory past the registers and L1; zeros if not `valid` (`global`
/// is then not read). Both addresses are multiples of 16.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

/// Closes the group of this thread's copies since the last commit.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/// Waits until at most the kNewest latest groups of this thread are unfinished.
template <int kNewest>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
}

/// Four 8x8 matrices of 16-bit elements: lane 8 m + r names row r of matrix m, lane l receives
/// elements 2 (l % 4) and the next of row l / 4 of each.
__device__ __forceinline__ void load_matrix_x4(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

/// d = a b + c for a [16, 16], b [16, 8] float16, c and d [16, 8] float32, one warp. The sum is
/// kept with some bits fewer than float32's rounding would (toward zero): add long sums up outside.
__device__ __forceinline__ void multiply_f16(float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2], const float (&c)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%10, %11, %12, %13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]),
        "f"(c[2]), "f"(c[3]));
}

}  // namespace monosem::cuda

#endif
