#include "core/half.h"
#include "cpu/row_kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <algorithm>

namespace monosem::cpu {
namespace {

#include "cpu/rows/vector_neon.inl"
//
#include "cpu/rows/all.inl"

}  // namespace

const RowKernels* row_kernels_neon() { return &kTable; }

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const RowKernels* row_kernels_neon() { return nullptr; }
}  // namespace monosem::cpu

#endif
