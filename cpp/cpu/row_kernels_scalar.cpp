#include <bit>
#include <cstdint>

#include "core/half.h"
#include "cpu/row_kernels.h"

namespace monosem::cpu {
namespace scalar {
namespace {

#include "cpu/rows/vector_scalar.inl"
//
#include "cpu/rows/all.inl"

}  // namespace
}  // namespace scalar

const RowKernels& row_kernels_scalar() { return scalar::kTable; }

}  // namespace monosem::cpu
