#include "io/tensor_file.h"

#include <algorithm>

namespace monosem::io {

std::size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
    case ElementType::kInt64:
    case ElementType::kUInt64:
      return 8;
    case ElementType::kFloat32:
    case ElementType::kInt32:
    case ElementType::kUInt32:
      return 4;
    case ElementType::kFloat16:
    case ElementType::kBFloat16:
    case ElementType::kInt16:
    case ElementType::kUInt16:
      return 2;
    case ElementType::kInt8:
    case ElementType::kUInt8:
    case ElementType::kBool:
      return 1;
  }
  return 0;
}

const char* element_name(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
      return "float64";
    case ElementType::kFloat32:
      return "float32";
    case ElementType::kFloat16:
      return "float16";
    case ElementType::kBFloat16:
      return "bfloat16";
    case ElementType::kInt64:
      return "int64";
    case ElementType::kInt32:
      return "int32";
    case ElementType::kInt16:
      return "int16";
    case ElementType::kInt8:
      return "int8";
    case ElementType::kUInt64:
      return "uint64";
    case ElementType::kUInt32:
      return "uint32";
    case ElementType::kUInt16:
      return "uint16";
    case ElementType::kUInt8:
      return "uint8";
    case ElementType::kBool:
      return "bool";
  }
  return "";
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

std::optional<uint64_t> checked_elements(const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  for (int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    // A zero dimension does not excuse the others from being possible.
    uint64_t factor = static_cast<uint64_t>(std::max<int64_t>(dimension, 1));
    if (elements > INT64_MAX / factor) return std::nullopt;
    elements *= factor;
  }
  bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  return empty ? 0 : elements;
}

int64_t StoredTensor::elements() const {
  int64_t elements = 1;
  for (int64_t dimension : shape) elements *= dimension;
  return elements;
}

bool StoredTensor::is_contiguous() const {
  int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != stride) return elements() == 0;
    stride *= shape[i];
  }
  return true;
}

StoredTensor StoredTensor::transposed(std::size_t dim0, std::size_t dim1) const {
  StoredTensor out = *this;
  std::swap(out.shape.at(dim0), out.shape.at(dim1));
  std::swap(out.strides.at(dim0), out.strides.at(dim1));
  return out;
}

const StoredTensor* TensorFile::find(const std::string& name) const {
  for (const StoredTensor& tensor : tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

bool can_alias(const StoredTensor& tensor) {
  std::size_t width = element_size(tensor.type);
  return !tensor.extent.deflated && !(tensor.big_endian && width > 1) && tensor.is_contiguous() &&
         (tensor.extent.offset + tensor.first_byte) % width == 0;
}

}  // namespace monosem::io
