#include "io/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"
#include "io/json_reader.h"

namespace monosem::io {
namespace {

const char* type_name(ElementType type) {
  switch (type) {
    case ElementType::kFloat64:
      return "F64";
    case ElementType::kFloat32:
      return "F32";
    case ElementType::kFloat16:
      return "F16";
    case ElementType::kBFloat16:
      return "BF16";
    case ElementType::kInt64:
      return "I64";
    case ElementType::kInt32:
      return "I32";
    case ElementType::kInt16:
      return "I16";
    case ElementType::kInt8:
      return "I8";
    case ElementType::kUInt64:
      return "U64";
    case ElementType::kUInt32:
      return "U32";
    case ElementType::kUInt16:
      return "U16";
    case ElementType::kUInt8:
      return "U8";
    case ElementType::kBool:
      return "BOOL";
  }
  return "";
}

std::string quoted(const std::string& text) {
  if (!is_utf8(text)) throw Error(kInvalidArgument, "names in a safetensors file must be UTF-8");
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> escape;
      std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + '"';
}

uint64_t byte_size(const TensorToWrite& tensor) {
  std::optional<uint64_t> elements = checked_elements(tensor.shape);
  if (!elements)
    throw Error(kInvalidArgument, "tensor " + tensor.name + " has an impossible shape");
  return *elements * element_size(tensor.type);
}

std::string make_header(const std::vector<TensorToWrite>& tensors,
                        const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      if (json.back() != '{') json += ',';
      json += quoted(key) + ':' + quoted(value);
    }
    json += '}';
  }
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (json.size() > 1) json += ',';
    json += quoted(tensor.name) + ":{\"dtype\":\"" + type_name(tensor.type) + "\",\"shape\":[";
    for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(tensor.shape[i]);
    }
    json += "],\"data_offsets\":[" + std::to_string(offset) + ',';
    offset += byte_size(tensor);
    json += std::to_string(offset) + "]}";
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');  // the data starts at a multiple of 8
  return json;
}

/// A file written beside `path`, removed unless it is kept.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    static std::atomic<unsigned> count{0};
    name_ = path + ".incomplete-" + std::to_string(getpid()) + '-' + std::to_string(count++);
    descriptor_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail("create");
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!kept_) unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      ssize_t written =
          ::write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), 1u << 30));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void keep() {
    if (fsync(descriptor_) != 0) fail("write");
    if (::rename(name_.c_str(), path_.c_str()) != 0) fail("rename");
    kept_ = true;
  }

 private:
  [[noreturn]] void fail(const char* verb) const {
    throw Error(kInternal,
                std::string("cannot ") + verb + ' ' + name_ + ": " + std::strerror(errno));
  }
  std::string path_, name_;
  int descriptor_;
  bool kept_ = false;
};

}  // namespace

void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    std::size_t wide_a = element_size(a.type), wide_b = element_size(b.type);
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorToWrite& tensor = tensors[i];
    bool twice = std::any_of(tensors.begin(), tensors.begin() + static_cast<std::ptrdiff_t>(i),
                             [&](const TensorToWrite& other) { return other.name == tensor.name; });
    if (twice || tensor.name == "__metadata__") {
      throw Error(kInvalidArgument,
                  "the name " + tensor.name + " is taken: names must be distinct");
    }
  }
  std::string header = make_header(tensors, metadata);
  uint64_t header_size = header.size();
  TemporaryFile file(path);
  file.write(std::as_bytes(std::span(&header_size, 1)));
  file.write(std::as_bytes(std::span(header)));
  std::vector<std::byte> bytes;
  for (const TensorToWrite& tensor : tensors) {
    tensor.fill(bytes);
    if (bytes.size() != byte_size(tensor)) {
      throw Error(kInvalidArgument, "tensor " + tensor.name + " has " +
                                        std::to_string(bytes.size()) +
                                        " bytes, which is not what its shape takes");
    }
    file.write(bytes);
  }
  file.keep();
}

}  // namespace monosem::io
