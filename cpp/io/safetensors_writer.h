#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/tensor_file.h"

namespace monosem::io {

struct TensorToWrite {
  std::string name;
  ElementType type;
  std::vector<int64_t> shape;
  /// Fills `bytes`, row-major and little-endian. Called when this tensor's turn has come, so that
  /// one tensor at a time is in memory.
  std::function<void(std::vector<std::byte>& bytes)> fill;
};

/// Writes a safetensors file in the reference writer's order (widest type first, then by name).
/// The file appears under `path` only when it is whole and on disk: it is written beside it and
/// renamed. Throws ERR_INVALID_ARGUMENT for a name given twice or bytes that are not the shape's,
/// ERR_INTERNAL with the system's reason when writing fails, and what `fill` throws.
void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace monosem::io
