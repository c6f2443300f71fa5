#pragma once

// What every reader yields: where each tensor lies in a file, already checked against the file's
// size, and how to get its numbers out. Nothing is read or allocated until a tensor is asked for.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/mapped_file.h"

namespace monosem::io {

enum class ElementType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt64,
  kUInt32,
  kUInt16,
  kUInt8,
  kBool,
};

std::size_t element_size(ElementType type);
/// "float32", "int64", ...
const char* element_name(ElementType type);

/// A run of bytes of the file that one or more tensors lie in: a safetensors tensor's bytes, a zip
/// member. A deflated one is `stored_size` bytes in the file and `size` once inflated.
struct Extent {
  uint64_t offset = 0;
  uint64_t stored_size = 0;
  uint64_t size = 0;
  bool deflated = false;
  std::optional<uint32_t> crc32;  // of the `size` bytes; absent: nothing to check against
};

struct StoredTensor {
  std::string name;
  ElementType type = ElementType::kFloat32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements, never negative
  bool big_endian = false;
  Extent extent;
  uint64_t first_byte = 0;  // of element [0, 0, ...] within the extent's `size` bytes

  int64_t elements() const;
  bool is_contiguous() const;
  /// The same numbers with two dimensions exchanged.
  StoredTensor transposed(std::size_t dim0, std::size_t dim1) const;
};

/// Row-major strides of a shape.
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape);

/// Elements of a shape that comes from a file: nullopt when a dimension is negative or the product
/// leaves 63 bits.
std::optional<uint64_t> checked_elements(const std::vector<int64_t>& shape);

struct TensorFile {
  std::shared_ptr<const MappedFile> file;
  std::vector<StoredTensor> tensors;  // names are distinct
  std::vector<std::pair<std::string, std::string>> metadata;

  const StoredTensor* find(const std::string& name) const;
};

/// Whether the tensor's bytes in the file are those of a contiguous native tensor, aligned for its
/// element type, so that `alias` may hand them out.
bool can_alias(const StoredTensor& tensor);

/// The tensor's bytes as private writable memory, no copy made. Throws ERR_FORMAT if their checksum
/// is wrong.
std::shared_ptr<std::byte> alias(const TensorFile& file, const StoredTensor& tensor);

/// Writes the tensor, row-major, native-endian and converted to `type`, to `out` (room for
/// elements() * element_size(type) bytes). Floats round to nearest even; an integer that an integer
/// `type` cannot hold is ERR_DTYPE. Throws ERR_FORMAT if the bytes do not inflate to what was
/// declared or their checksum is wrong.
void read(const TensorFile& file, const StoredTensor& tensor, ElementType type, std::byte* out);

}  // namespace monosem::io
