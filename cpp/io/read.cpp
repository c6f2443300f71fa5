// Getting a stored tensor's numbers out: inflating, gathering strided elements, swapping bytes and
// converting, a block at a time, so that no second copy of a tensor is needed where it lies plainly
// in the file. What has been read is forgotten at once, so that the mapping does not add to the
// memory of the process.

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <utility>

#include "core/error.h"
#include "core/half.h"
#include "io/crc32.h"
#include "io/inflate.h"
#include "io/tensor_file.h"

namespace monosem::io {
namespace {

constexpr int64_t kBlock = 1024;           // elements converted at a time
constexpr int64_t kTile = 64;              // side of a transposed tile, in elements
constexpr int64_t kForgetBytes = 4 << 20;  // forget the source in steps of this

/// `n` elements of one width, `stride` elements apart, to a dense run; bytes swapped if asked.
template <typename Word>
void gather_words(const std::byte* source, int64_t stride, int64_t n, bool swap, std::byte* out) {
  for (int64_t i = 0; i < n; ++i) {
    Word word;
    std::memcpy(&word, source + i * stride * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
    if (swap) {
      auto bytes = std::bit_cast<std::array<std::byte, sizeof(Word)>>(word);
      std::reverse(bytes.begin(), bytes.end());
      word = std::bit_cast<Word>(bytes);
    }
    std::memcpy(out + i * static_cast<int64_t>(sizeof(Word)), &word, sizeof(Word));
  }
}

void gather(const std::byte* source, std::size_t width, int64_t stride, int64_t n, bool swap,
            std::byte* out) {
  if (stride == 1 && !swap) {
    std::memcpy(out, source, static_cast<std::size_t>(n) * width);
  } else if (width == 8) {
    gather_words<uint64_t>(source, stride, n, swap, out);
  } else if (width == 4) {
    gather_words<uint32_t>(source, stride, n, swap, out);
  } else if (width == 2) {
    gather_words<uint16_t>(source, stride, n, swap, out);
  } else {
    gather_words<uint8_t>(source, stride, n, false, out);
  }
}

template <typename T>
void widen(const std::byte* source, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, source + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

template <float Decode(uint16_t)>
void widen_half(const std::byte* source, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, source + 2 * i, 2);
    out[i] = Decode(bits);
  }
}

void to_float32(ElementType type, const std::byte* source, int64_t n, float* out) {
  switch (type) {
    case ElementType::kFloat64:
      return widen<double>(source, n, out);
    case ElementType::kFloat32:
      return widen<float>(source, n, out);
    case ElementType::kFloat16:
      return widen_half<from_float16>(source, n, out);
    case ElementType::kBFloat16:
      return widen_half<from_bfloat16>(source, n, out);
    case ElementType::kInt64:
      return widen<int64_t>(source, n, out);
    case ElementType::kInt32:
      return widen<int32_t>(source, n, out);
    case ElementType::kInt16:
      return widen<int16_t>(source, n, out);
    case ElementType::kInt8:
      return widen<int8_t>(source, n, out);
    case ElementType::kUInt64:
      return widen<uint64_t>(source, n, out);
    case ElementType::kUInt32:
      return widen<uint32_t>(source, n, out);
    case ElementType::kUInt16:
      return widen<uint16_t>(source, n, out);
    case ElementType::kUInt8:
      return widen<uint8_t>(source, n, out);
    case ElementType::kBool:
      for (int64_t i = 0; i < n; ++i) out[i] = source[i] != std::byte{0} ? 1.0f : 0.0f;
      return;
  }
}

template <typename T>
bool narrow(const std::byte* source, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, source + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    if (!std::in_range<int32_t>(value)) return false;
    out[i] = static_cast<int32_t>(value);
  }
  return true;
}

bool to_int32(ElementType type, const std::byte* source, int64_t n, int32_t* out) {
  switch (type) {
    case ElementType::kInt64:
      return narrow<int64_t>(source, n, out);
    case ElementType::kInt32:
      return narrow<int32_t>(source, n, out);
    case ElementType::kInt16:
      return narrow<int16_t>(source, n, out);
    case ElementType::kInt8:
      return narrow<int8_t>(source, n, out);
    case ElementType::kUInt64:
      return narrow<uint64_t>(source, n, out);
    case ElementType::kUInt32:
      return narrow<uint32_t>(source, n, out);
    case ElementType::kUInt16:
      return narrow<uint16_t>(source, n, out);
    case ElementType::kUInt8:
    case ElementType::kBool:
      return narrow<uint8_t>(source, n, out);
    default:
      return false;
  }
}

/// Converts runs of at most kBlock elements of one tensor.
class Converter {
 public:
  Converter(const StoredTensor& tensor, ElementType type)
      : name_(tensor.name),
        from_(tensor.type),
        to_(type),
        width_(element_size(tensor.type)),
        swap_(tensor.big_endian && element_size(tensor.type) > 1) {}

  void run(const std::byte* source, int64_t stride, int64_t n, std::byte* out) {
    if (from_ == to_) return gather(source, width_, stride, n, swap_, out);
    gather(source, width_, stride, n, swap_, raw_.data());
    if (to_ == ElementType::kInt32) {
      std::array<int32_t, kBlock> values;
      if (!to_int32(from_, raw_.data(), n, values.data())) {
        throw Error(kDtype, "tensor " + name_ + " (" + element_name(from_) +
                                ") holds values that int32 cannot");
      }
      std::memcpy(out, values.data(), static_cast<std::size_t>(n) * 4);
      return;
    }
    std::array<float, kBlock> values;
    to_float32(from_, raw_.data(), n, values.data());
    if (to_ == ElementType::kFloat32) {
      std::memcpy(out, values.data(), static_cast<std::size_t>(n) * 4);
    } else if (to_ == ElementType::kFloat16 || to_ == ElementType::kBFloat16) {
      std::array<uint16_t, kBlock> halves;
      for (int64_t i = 0; i < n; ++i) {
        float value = values[static_cast<std::size_t>(i)];
        halves[static_cast<std::size_t>(i)] =
            to_ == ElementType::kFloat16 ? to_float16(value) : to_bfloat16(value);
      }
      std::memcpy(out, halves.data(), static_cast<std::size_t>(n) * 2);
    } else {
      throw Error(kDtype, std::string("tensors are read as float32, float16, bfloat16 or int32, ") +
                              "not as " + element_name(to_));
    }
  }

 private:
  const std::string& name_;
  ElementType from_, to_;
  std::size_t width_;
  bool swap_;
  std::array<std::byte, kBlock * 8> raw_;
};

struct Dimension {
  int64_t size, stride;
};

/// Shape and strides without dimensions of size 1, neighbours that lie contiguously merged.
std::vector<Dimension> collapsed(const StoredTensor& tensor) {
  std::vector<Dimension> out;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    Dimension dimension{tensor.shape[i], tensor.strides[i]};
    if (dimension.size == 1) continue;
    if (!out.empty() && out.back().stride == dimension.stride * dimension.size) {
      out.back() = {out.back().size * dimension.size, dimension.stride};
    } else {
      out.push_back(dimension);
    }
  }
  return out;
}

/// Called with a range of source bytes, relative to the tensor's first, that is done with.
using Forget = std::function<void(int64_t first, int64_t last)>;

/// A matrix of any strides to a dense row-major one. The outer loop follows the larger stride, so
/// that the source is read once from front to back; tiles keep both sides in the cache.
void read_matrix(Converter& convert, const std::byte* source, Dimension rows, Dimension columns,
                 std::size_t width, std::size_t out_width, std::byte* out, const Forget& forget) {
  bool by_columns = columns.stride > rows.stride;
  Dimension outer = by_columns ? columns : rows, inner = by_columns ? rows : columns;
  int64_t outer_step = by_columns ? kTile : 1, inner_step = by_columns ? kTile : kBlock;
  int64_t element = static_cast<int64_t>(width), out_element = static_cast<int64_t>(out_width);
  int64_t forgotten = 0;
  for (int64_t i = 0; i < outer.size; i += outer_step) {
    int64_t i_end = std::min(i + outer_step, outer.size);
    for (int64_t j = 0; j < inner.size; j += inner_step) {
      int64_t j_end = std::min(j + inner_step, inner.size);
      int64_t row = by_columns ? j : i, row_end = by_columns ? j_end : i_end;
      int64_t column = by_columns ? i : j, column_end = by_columns ? i_end : j_end;
      for (; row < row_end; ++row) {
        convert.run(source + (row * rows.stride + column * columns.stride) * element,
                    columns.stride, column_end - column,
                    out + (row * columns.size + column) * out_element);
      }
    }
    int64_t done = i_end * outer.stride * element;
    if (done - forgotten >= kForgetBytes) {
      forget(forgotten, done);
      forgotten = done;
    }
  }
  forget(forgotten, outer.size * outer.stride * element);
}

void read_strided(const StoredTensor& tensor, ElementType type, const std::byte* source,
                  std::byte* out, const Forget& forget) {
  Converter convert(tensor, type);
  std::size_t width = element_size(tensor.type), out_width = element_size(type);
  std::vector<Dimension> dimensions = collapsed(tensor);
  while (dimensions.size() < 2) dimensions.insert(dimensions.begin(), {1, 0});
  Dimension rows = dimensions[dimensions.size() - 2], columns = dimensions.back();
  if (dimensions.size() == 2 && rows.size == 1) {
    // A plain run: as rows of kBlock, so that it is forgotten as it goes.
    int64_t whole = columns.size / kBlock;
    int64_t head = whole * kBlock;
    read_matrix(convert, source, {whole, columns.stride * kBlock}, {kBlock, columns.stride}, width,
                out_width, out, forget);
    if (head < columns.size) {
      convert.run(source + head * columns.stride * static_cast<int64_t>(width), columns.stride,
                  columns.size - head, out + head * static_cast<int64_t>(out_width));
    }
    return;
  }
  dimensions.resize(dimensions.size() - 2);
  std::vector<int64_t> index(dimensions.size(), 0);
  const Forget keep = [](int64_t, int64_t) {};
  for (bool more = true; more;) {
    int64_t offset = 0;
    for (std::size_t i = 0; i < index.size(); ++i) offset += index[i] * dimensions[i].stride;
    read_matrix(convert, source + offset * static_cast<int64_t>(width), rows, columns, width,
                out_width, out, dimensions.empty() ? forget : keep);
    out += static_cast<std::size_t>(rows.size * columns.size) * out_width;
    more = false;
    for (std::size_t i = index.size(); i-- > 0 && !more;) {
      more = ++index[i] < dimensions[i].size;
      if (!more) index[i] = 0;
    }
  }
}

[[noreturn]] void damaged(const TensorFile& file, const StoredTensor& tensor,
                          const std::string& what) {
  throw Error(kFormat, file.file->path() + ": " + what + " of " + tensor.name +
                           " is wrong: the file is damaged, download it again");
}

/// Inflates a member; `place(at, piece)` receives its bytes.
template <typename Place>
void inflate_member(const TensorFile& file, const StoredTensor& tensor, Place place) {
  const Extent& extent = tensor.extent;
  uint64_t at = 0;
  uint32_t checksum = 0;
  uint64_t total = inflate(file.file->bytes().subspan(extent.offset, extent.stored_size),
                           extent.size, [&](std::span<const std::byte> piece) {
                             checksum = crc32(piece, checksum);
                             place(at, piece);
                             at += piece.size();
                             return true;
                           });
  file.file->forget(extent.offset, extent.stored_size);
  if (total != extent.size) damaged(file, tensor, "the declared size");
  if (extent.crc32 && checksum != *extent.crc32) damaged(file, tensor, "the checksum");
}

void read_deflated(const TensorFile& file, const StoredTensor& tensor, ElementType type,
                   std::byte* out) {
  bool plain = tensor.type == type && !tensor.big_endian && tensor.is_contiguous();
  if (plain) {  // straight to where it is wanted
    uint64_t size = static_cast<uint64_t>(tensor.elements()) * element_size(type);
    inflate_member(file, tensor, [&](uint64_t at, std::span<const std::byte> piece) {
      uint64_t skip = at < tensor.first_byte ? tensor.first_byte - at : 0;
      if (skip >= piece.size()) return;
      std::span<const std::byte> data = piece.subspan(skip);
      uint64_t place = at + skip - tensor.first_byte;
      if (place < size) std::memcpy(out + place, data.data(), std::min(data.size(), size - place));
    });
    return;
  }
  std::vector<std::byte> member(tensor.extent.size);
  inflate_member(file, tensor, [&](uint64_t at, std::span<const std::byte> piece) {
    std::memcpy(member.data() + at, piece.data(), piece.size());
  });
  read_strided(tensor, type, member.data() + tensor.first_byte, out, [](int64_t, int64_t) {});
}

/// Compares a stored member with its checksum.
void check_stored(const TensorFile& file, const StoredTensor& tensor) {
  const Extent& extent = tensor.extent;
  if (!extent.crc32) return;
  uint32_t checksum = 0;
  for (uint64_t at = 0; at < extent.size; at += kForgetBytes) {
    uint64_t size = std::min<uint64_t>(kForgetBytes, extent.size - at);
    checksum = crc32(file.file->bytes().subspan(extent.offset + at, size), checksum);
    file.file->forget(extent.offset + at, size);
  }
  if (checksum != *extent.crc32) damaged(file, tensor, "the checksum");
}

}  // namespace

std::shared_ptr<std::byte> alias(const TensorFile& file, const StoredTensor& tensor) {
  check_stored(file, tensor);
  uint64_t size = static_cast<uint64_t>(tensor.elements()) * element_size(tensor.type);
  return file.file->private_view(tensor.extent.offset + tensor.first_byte, size);
}

void read(const TensorFile& file, const StoredTensor& tensor, ElementType type, std::byte* out) {
  if (tensor.elements() == 0) return;
  if (tensor.extent.deflated) return read_deflated(file, tensor, type, out);
  check_stored(file, tensor);
  uint64_t first = tensor.extent.offset + tensor.first_byte;
  read_strided(tensor, type, file.file->bytes().data() + first, out, [&](int64_t from, int64_t to) {
    file.file->forget(first + static_cast<uint64_t>(from), static_cast<uint64_t>(to - from));
  });
}

}  // namespace monosem::io
