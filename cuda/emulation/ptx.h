#pragma once

// Host models of the PTX wrappers of cuda/ptx.cuh, by the fragment layouts of the PTX ISA manual
// (section "Matrix fragments for mma.m16n8k16", and "ldmatrix").

#include <cstdint>

#include "block.h"
#include "cuda_runtime.h"

namespace monosem::cuda {

void copy_async_16(void* shared, const void* global, bool valid);
void copy_async_commit();
void copy_async_wait(int newest);
void load_matrix_x4(uint32_t (&out)[4], const void* row, const Place& place = Place::current());
void multiply_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  const float (&c)[4], const Place& place = Place::current());

template <int kNewest>
void copy_async_wait() {
  copy_async_wait(kNewest);
}

}  // namespace monosem::cuda
