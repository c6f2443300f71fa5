#include "core/half.h"
#include "cpu/row_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace monosem::cpu {
namespace {

#include "cpu/rows/vector_avx2.inl"
//
#include "cpu/rows/all.inl"

}  // namespace
}  // namespace monosem::cpu

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace monosem::cpu {
const RowKernels* row_kernels_avx2() { return &kTable; }
}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const RowKernels* row_kernels_avx2() { return nullptr; }
}  // namespace monosem::cpu

#endif
