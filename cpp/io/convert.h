#pragma once

// Elements of any type, byte order and spacing, as dense native ones of another type.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "io/tensor_file.h"

namespace monosem::io {

/// Converts runs of one tensor's elements.
class Converter {
 public:
  static constexpr int64_t kBlock = 1024;  // the longest run, in elements

  /// To float32, float16, bfloat16, int32, or the tensor's own type.
  Converter(const StoredTensor& tensor, ElementType type);

  /// `n` elements from `source` on, `stride` elements apart. Throws ERR_DTYPE for a value or a type
  /// that cannot be converted.
  void run(const std::byte* source, int64_t stride, int64_t n, std::byte* out);

 private:
  const std::string& name_;
  ElementType from_, to_;
  std::size_t width_;
  bool swap_;
  std::array<std::byte, kBlock * 8> raw_;
};

}  // namespace monosem::io
