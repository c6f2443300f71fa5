// Getting a stored tensor's numbers out: inflating, gathering strided elements and converting them,
// a block at a time, so that no second copy of a tensor is needed where it lies plainly
// in the file. What has been read is forgotten at once, so that the mapping does not add to the
// memory of the process.

#include <algorithm>
#include <cstring>
#include <functional>

#include "core/error.h"
#include "io/convert.h"
#include "io/crc32.h"
#include "io/inflate.h"
#include "io/tensor_file.h"

namespace monosem::io {
namespace {

constexpr int64_t kTile = 64;              // side of a transposed tile, in elements
constexpr int64_t kForgetBytes = 4 << 20;  // forget the source in steps of this

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
  int64_t outer_step = by_columns ? kTile : 1, inner_step = by_columns ? kTile : Converter::kBlock;
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
    // A plain run: as rows of Converter::kBlock, so that it is forgotten as it goes.
    int64_t whole = columns.size / Converter::kBlock;
    int64_t head = whole * Converter::kBlock;
    read_matrix(convert, source, {whole, columns.stride * Converter::kBlock},
                {Converter::kBlock, columns.stride}, width, out_width, out, forget);
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
