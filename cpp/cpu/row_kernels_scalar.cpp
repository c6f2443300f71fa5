#include <bit>

#include "core/half.h"
#include "cpu/row_kernels.h"

namespace monosem::cpu {
namespace {

#include "cpu/rows/vector_scalar.inl"
//
#include "cpu/rows/all.inl"

}  // namespace

const RowKernels* row_kernels_scalar() { return &kTable; }

}  // namespace monosem::cpu
