#include "io/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/half.h"

namespace monosem::io {
namespace {

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

}  // namespace

Converter::Converter(const StoredTensor& tensor, ElementType type)
    : name_(tensor.name),
      from_(tensor.type),
      to_(type),
      width_(element_size(tensor.type)),
      swap_(tensor.big_endian && element_size(tensor.type) > 1) {}

void Converter::run(const std::byte* source, int64_t stride, int64_t n, std::byte* out) {
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

}  // namespace monosem::io
