#pragma once

#include <string>

#include "core/backend.h"

namespace monosem {

/// The CUDA backend's table, from libmonosem_cuda.so beside the binary this code is in; opened on
/// first use and never closed. Null with the reason and the cure when it is not there, cannot be
/// loaded, or was built for another table.
const monosem_backend* load_cuda(std::string& reason);

/// The CUDA backend's kernels run on the host, for tests: libmonosem_emulated.so, found the same
/// way.
const monosem_backend* load_emulated(std::string& reason);

}  // namespace monosem
