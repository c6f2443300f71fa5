#include "cpu/row_kernels.h"

namespace monosem::cpu {

// Replaced by the choice by instruction set in isa.cpp.
const RowKernels& row_kernels() { return row_kernels_scalar(); }

}  // namespace monosem::cpu
