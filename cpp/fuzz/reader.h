#pragma once

// What every fuzz target does with its input: opens it as a file would be opened, and reads every
// tensor in every way a loader might. Errors of ours are expected; anything else is a finding.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/error.h"
#include "io/open.h"

namespace monosem::io {

constexpr int64_t kMostElements = 1 << 14;  // of one tensor; larger ones cost time, not paths

inline void read_all_ways(const TensorFile& file, StoredTensor tensor) {
  std::vector<std::byte> out(static_cast<std::size_t>(tensor.elements()) * 4);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16, ElementType::kInt32}) {
    try {
      read(file, tensor, type, out.data());
    } catch (const Error&) {
    }
  }
  if (can_alias(tensor)) alias(file, tensor);
  if (tensor.shape.size() != 2) return;
  read(file, tensor.transposed(0, 1), ElementType::kFloat32, out.data());
}

template <typename Open>
void fuzz_reader(Open open, const uint8_t* data, std::size_t size) {
  try {
    auto file = open(MappedFile::of_bytes("input", std::as_bytes(std::span(data, size))));
    for (StoredTensor tensor : file->tensors) {
      if (tensor.elements() > kMostElements) continue;
      // Mutation breaks checksums first: without them, what lies behind is reached too.
      tensor.extent.crc32.reset();
      read_all_ways(*file, std::move(tensor));
    }
  } catch (const Error&) {
  }
}

}  // namespace monosem::io
