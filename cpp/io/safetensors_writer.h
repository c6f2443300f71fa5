#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/tensor_file.h"

namespace monosem::io {

struct TensorToWrite {
  std::string name;
  ElementType type;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // row-major, little-endian
};

/// Writes a safetensors file in the reference writer's order (widest type first, then by name).
/// The file appears under `path` only when it is whole and on disk: it is written beside it and
/// renamed. Throws ERR_INVALID_ARGUMENT for a name given twice or bytes that are not the shape's,
/// ERR_INTERNAL with the system's reason when writing fails.
void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {});

}  // namespace monosem::io
