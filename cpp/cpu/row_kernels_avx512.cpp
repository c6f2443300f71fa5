#include "core/half.h"
#include "cpu/row_kernels.h"

#if defined(__x86_64__)

// GCC 12 warns of the undefined pass-through operands inside its own intrinsics.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

namespace monosem::cpu {
namespace {

#include "cpu/rows/vector_avx512.inl"
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
const RowKernels* row_kernels_avx512() { return &kTable; }
}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const RowKernels* row_kernels_avx512() { return nullptr; }
}  // namespace monosem::cpu

#endif
