// NumPy's .npz: a zip of .npy files, each a short header (a Python literal of a fixed form) and the
// array's bytes. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "io/inflate.h"
#include "io/open.h"
#include "io/zip.h"

namespace monosem::io {
namespace {

constexpr uint64_t kMaximumHeader = 65536;  // far above what any array of numbers needs

/// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (8, 4), } and nothing else: there is no
/// expression to evaluate.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  struct Header {
    std::string descr;
    bool fortran_order = false;
    std::vector<int64_t> shape;
  };

  Header read() {
    Header header;
    unsigned seen = 0;
    expect('{');
    while (!accept('}')) {
      std::string key = string();
      expect(':');
      unsigned bit = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
      if (bit == 0 || (seen & bit)) fail("descr, fortran_order and shape, once each");
      seen |= bit;
      if (bit == 1) {
        if (peek() == '[') throw Error(kDtype, what_ + " is an array of records, not of numbers");
        header.descr = string();
      } else if (bit == 2) {
        header.fortran_order = boolean();
      } else {
        header.shape = tuple();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    if (seen != 7) fail("descr, fortran_order and shape");
    peek();
    if (at_ != text_.size()) fail("nothing after the closing brace");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(kFormat, "the npy header of " + what_ + ": expected " + expected + " at byte " +
                             std::to_string(at_));
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'");
  }
  std::string string() {
    char quote = peek();
    if (quote != '\'' && quote != '"') fail("a string");
    std::size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) fail("the end of the string");
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  bool boolean() {
    peek();
    for (std::string_view word : {"True", "False"}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("True or False");
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> out;
    expect('(');
    while (!accept(')')) {
      peek();
      std::size_t start = at_;
      int64_t value = 0;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        int64_t digit = text_[at_] - '0';
        if (value > (INT64_MAX - digit) / 10) fail("a dimension below 2^63");
        value = value * 10 + digit;
      }
      if (at_ == start) fail("a non-negative dimension");
      accept('L');  // Python 2 wrote long integers so
      out.push_back(value);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return out;
  }

  std::string_view text_;
  const std::string& what_;
  std::size_t at_ = 0;
};

/// "<f4" and its like: byte order, kind, bytes.
ElementType parse_descr(const std::string& descr, const std::string& what, bool* big_endian) {
  struct Known {
    std::string_view name;
    ElementType type;
  };
  static constexpr std::array<Known, 12> known{{{"f8", ElementType::kFloat64},
                                                {"f4", ElementType::kFloat32},
                                                {"f2", ElementType::kFloat16},
                                                {"i8", ElementType::kInt64},
                                                {"i4", ElementType::kInt32},
                                                {"i2", ElementType::kInt16},
                                                {"i1", ElementType::kInt8},
                                                {"u8", ElementType::kUInt64},
                                                {"u4", ElementType::kUInt32},
                                                {"u2", ElementType::kUInt16},
                                                {"u1", ElementType::kUInt8},
                                                {"b1", ElementType::kBool}}};
  std::string_view rest = descr;
  char order = rest.empty() ? '\0' : rest.front();
  if (std::string_view("<>|=").find(order) != std::string_view::npos) rest.remove_prefix(1);
  *big_endian = order == '>';
  for (const Known& candidate : known) {
    if (rest == candidate.name) return candidate.type;
  }
  if (rest.starts_with('O')) {
    throw Error(kUnsafePickle, what +
                                   " holds Python objects, whose data is a pickle: only arrays "
                                   "of numbers are read from .npz files");
  }
  throw Error(kDtype, what + " has element type '" + descr +
                          "'; the types that can be read are f2, f4, f8, i1 ... u8 and b1");
}

/// The first bytes of a member's content, `wanted` at most.
std::string first_bytes(const MappedFile& file, const Extent& extent, uint64_t wanted) {
  wanted = std::min(wanted, extent.size);
  std::string out;
  auto take = [&](std::span<const std::byte> piece) {
    uint64_t n = std::min<uint64_t>(piece.size(), wanted - out.size());
    out.append(reinterpret_cast<const char*>(piece.data()), n);
    return out.size() < wanted;
  };
  std::span<const std::byte> stored = file.bytes().subspan(extent.offset, extent.stored_size);
  if (extent.deflated) {
    inflate(stored, extent.size, take);
  } else {
    take(stored);
  }
  return out;
}

StoredTensor read_array(const MappedFile& file, const ZipMember& member, std::string name) {
  const Extent& extent = member.extent;
  std::string what = member.name + " in " + file.path();
  if (extent.deflated && extent.size / kMaximumInflation > extent.stored_size) {
    throw Error(kFormat, what + " claims " + std::to_string(extent.size) + " bytes out of " +
                             std::to_string(extent.stored_size) + " compressed ones");
  }
  std::string start = first_bytes(file, extent, 12 + kMaximumHeader);
  if (start.size() < 10 || !start.starts_with("\x93NUMPY")) {
    throw Error(kFormat, what + " is not an npy array");
  }
  int version = start[6];
  if (version < 1 || version > 3) {
    throw Error(kUnsupported, what + " is of npy version " + std::to_string(version) +
                                  "; versions 1 to 3 can be read");
  }
  uint64_t prefix = version == 1 ? 10 : 12, header_size = 0;
  std::memcpy(&header_size, start.data() + 8, prefix - 8);
  if (header_size > kMaximumHeader || start.size() < prefix + header_size) {
    throw Error(kFormat, what + " announces a header of " + std::to_string(header_size) + " bytes");
  }
  auto header = HeaderReader(std::string_view(start).substr(prefix, header_size), what).read();

  StoredTensor tensor;
  tensor.name = std::move(name);
  tensor.type = parse_descr(header.descr, what, &tensor.big_endian);
  tensor.shape = std::move(header.shape);
  tensor.extent = extent;
  tensor.first_byte = prefix + header_size;
  std::optional<uint64_t> elements = checked_elements(tensor.shape);
  uint64_t width = element_size(tensor.type), room = extent.size - tensor.first_byte;
  if (!elements || *elements > room / width || *elements * width != room) {
    throw Error(kFormat, what + ": its shape does not take the " + std::to_string(room) +
                             " bytes that are there");
  }
  if (header.fortran_order) {
    std::vector<int64_t> reversed(tensor.shape.rbegin(), tensor.shape.rend());
    tensor.strides = contiguous_strides(reversed);
    std::reverse(tensor.strides.begin(), tensor.strides.end());
  } else {
    tensor.strides = contiguous_strides(tensor.shape);
  }
  return tensor;
}

}  // namespace

std::shared_ptr<const TensorFile> open_npz(FilePointer file) {
  constexpr std::string_view suffix = ".npy";
  auto out = std::make_shared<TensorFile>();
  out->file = std::move(file);
  for (const ZipMember& member : read_zip_directory(*out->file)) {
    if (!member.name.ends_with(suffix)) continue;
    std::string name = member.name.substr(0, member.name.size() - suffix.size());
    out->tensors.push_back(read_array(*out->file, member, std::move(name)));
  }
  return out;
}

}  // namespace monosem::io
