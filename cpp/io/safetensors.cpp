// safetensors: u64 header length (little-endian), a JSON header, then the tensors' bytes back to
// back. https://github.com/huggingface/safetensors#format. As strict as the reference reader: every
// byte of the file belongs to exactly one thing.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "io/json_reader.h"
#include "io/open.h"

namespace monosem::io {
namespace {

static_assert(std::endian::native == std::endian::little, "weights are mapped as they lie on disk");

constexpr uint64_t kMaximumHeader = 100'000'000;  // the reference reader's limit

struct NamedType {
  const char* name;
  ElementType type;
};

constexpr std::array<NamedType, 13> kTypes{{
    {"F64", ElementType::kFloat64},
    {"F32", ElementType::kFloat32},
    {"F16", ElementType::kFloat16},
    {"BF16", ElementType::kBFloat16},
    {"I64", ElementType::kInt64},
    {"I32", ElementType::kInt32},
    {"I16", ElementType::kInt16},
    {"I8", ElementType::kInt8},
    {"U64", ElementType::kUInt64},
    {"U32", ElementType::kUInt32},
    {"U16", ElementType::kUInt16},
    {"U8", ElementType::kUInt8},
    {"BOOL", ElementType::kBool},
}};

ElementType parse_type(const std::string& name, const std::string& tensor,
                       const std::string& path) {
  for (const NamedType& known : kTypes) {
    if (name == known.name) return known.type;
  }
  throw Error(kDtype, path + ": tensor " + tensor + " has element type " + name +
                          "; the types that can be read are F64, F32, F16, BF16, I64 ... U8, BOOL");
}

/// One member of the header: {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}.
StoredTensor parse_tensor(JsonReader& json, std::string name, uint64_t data_size,
                          const std::string& path) {
  StoredTensor tensor;
  tensor.name = std::move(name);
  std::string type;
  std::array<uint64_t, 2> offsets{};
  unsigned seen = 0;
  json.expect('{');
  do {
    std::string key = json.string();
    json.expect(':');
    unsigned bit;
    if (key == "dtype") {
      bit = 1;
      type = json.string();
    } else if (key == "shape") {
      bit = 2;
      json.expect('[');
      if (!json.accept(']')) {
        do {
          uint64_t dimension = json.unsigned_integer();
          if (dimension > INT64_MAX) json.fail("a dimension below 2^63");
          tensor.shape.push_back(static_cast<int64_t>(dimension));
        } while (json.another(']'));
      }
    } else if (key == "data_offsets") {
      bit = 4;
      json.expect('[');
      offsets[0] = json.unsigned_integer();
      json.expect(',');
      offsets[1] = json.unsigned_integer();
      json.expect(']');
    } else {
      json.fail("dtype, shape or data_offsets, not " + key);
    }
    if (seen & bit) json.fail(key + " only once");
    seen |= bit;
  } while (json.another('}'));
  if (seen != 7) json.fail("dtype, shape and data_offsets of " + tensor.name);

  tensor.type = parse_type(type, tensor.name, path);
  if (offsets[0] > offsets[1] || offsets[1] > data_size) {
    throw Error(kFormat, path + ": tensor " + tensor.name + " claims bytes " +
                             std::to_string(offsets[0]) + " to " + std::to_string(offsets[1]) +
                             " of a file with " + std::to_string(data_size) + " bytes of data");
  }
  uint64_t size = offsets[1] - offsets[0];
  std::optional<uint64_t> elements = checked_elements(tensor.shape);
  uint64_t width = element_size(tensor.type);
  if (!elements || *elements > UINT64_MAX / width || *elements * width != size) {
    throw Error(kFormat, path + ": the shape of tensor " + tensor.name + " does not take the " +
                             std::to_string(size) + " bytes the file gives it");
  }
  tensor.strides = contiguous_strides(tensor.shape);
  tensor.extent.offset = offsets[0];
  tensor.extent.stored_size = tensor.extent.size = size;
  return tensor;
}

void parse_metadata(JsonReader& json, TensorFile& out) {
  json.expect('{');
  if (json.accept('}')) return;
  do {
    std::string key = json.string();
    json.expect(':');
    out.metadata.emplace_back(std::move(key), json.string());
  } while (json.another('}'));
}

/// The tensors' bytes must follow each other from the first byte to the last.
void check_cover(const TensorFile& file, uint64_t data_size) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& tensor : file.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return a->extent.offset != b->extent.offset ? a->extent.offset < b->extent.offset
                                                : a->extent.size < b->extent.size;
  });
  uint64_t at = 0;
  for (const StoredTensor* tensor : order) {
    if (tensor->extent.offset != at) {
      throw Error(kFormat, file.file->path() + ": tensor " + tensor->name + " begins at byte " +
                               std::to_string(tensor->extent.offset) +
                               " of the data, where the one before it ends at " +
                               std::to_string(at) + ": tensors may neither overlap nor leave gaps");
    }
    at += tensor->extent.size;
  }
  if (at != data_size) {
    throw Error(kFormat, file.file->path() + ": the tensors take " + std::to_string(at) +
                             " bytes, the file has " + std::to_string(data_size) +
                             ": it is damaged or its download was cut off");
  }
}

}  // namespace

std::shared_ptr<const TensorFile> open_safetensors(FilePointer file) {
  auto out = std::make_shared<TensorFile>();
  out->file = std::move(file);
  const std::string& path = out->file->path();
  std::span<const std::byte> bytes = out->file->bytes();
  if (bytes.size() < 8) {
    throw Error(kFormat, path + " is " + std::to_string(bytes.size()) +
                             " bytes long, too short to be a safetensors file");
  }
  uint64_t header_size;
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kMaximumHeader || header_size > bytes.size() - 8) {
    throw Error(kFormat, path + " announces a header of " + std::to_string(header_size) +
                             " bytes in a file of " + std::to_string(bytes.size()) +
                             ": it is no safetensors file, or its download was cut off");
  }
  std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, header_size);
  std::string what = "the header of " + path;
  if (!is_utf8(header)) throw Error(kFormat, what + " is not UTF-8");
  uint64_t data_offset = 8 + header_size;
  uint64_t data_size = bytes.size() - data_offset;

  JsonReader json(header, what);
  std::unordered_set<std::string> names;
  json.expect('{');
  if (!json.accept('}')) {
    do {
      std::string name = json.string();
      json.expect(':');
      if (!names.insert(name).second) json.fail("each name once; " + name + " comes again");
      if (name == "__metadata__") {
        parse_metadata(json, *out);
      } else {
        out->tensors.push_back(parse_tensor(json, std::move(name), data_size, path));
      }
    } while (json.another('}'));
  }
  json.end();
  check_cover(*out, data_size);
  for (StoredTensor& tensor : out->tensors) tensor.extent.offset += data_offset;
  return out;
}

}  // namespace monosem::io
