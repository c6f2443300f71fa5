#pragma once

// Errors and launches. Inside cuda/ a failure is an exception; backend.cu turns it into a status
// and a sentence before it could cross the table.

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "core/backend.h"

namespace monosem::cuda {

struct Failure : std::runtime_error {
  Failure(monosem_status status_, const std::string& message, cudaError_t error_ = cudaSuccess)
      : std::runtime_error(message), status(status_), error(error_) {}
  monosem_status status;
  cudaError_t error;
};

/// Throws Failure unless `error` is cudaSuccess. `what` names the call.
void check(cudaError_t error, const char* what);

/// Whether the device's context is lost after `error`: every later call would return it again.
bool is_sticky(cudaError_t error);

struct Shape {
  dim3 grid, block;
  size_t dynamic_shared = 0;
};

/// Queues kernel(arguments...) on `stream`. An empty grid queues nothing.
template <class... Parameters, class... Arguments>
void launch(cudaStream_t stream, const Shape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.dynamic_shared;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
        "a kernel launch");
}

/// Blocks that cover `items` with `each` per block. Grid-stride kernels cap it; a grid's x
/// dimension holds 2^31 - 1.
inline unsigned blocks_for(int64_t items, int64_t each, int64_t most = 0x7fffffff) {
  const int64_t blocks = (items + each - 1) / each;
  return static_cast<unsigned>(blocks < most ? blocks : most);
}

}  // namespace monosem::cuda
