#include "io/inflate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "core/error.h"

namespace monosem::io {
namespace {

[[noreturn]] void broken(const char* what) {
  throw Error(kFormat, std::string("the compressed data is broken: ") + what);
}

/// The input as bits, least significant first.
class Bits {
 public:
  explicit Bits(std::span<const std::byte> input) : input_(input) {}

  /// Makes as many bits ready as there are, 15 at least unless the input ends.
  void refill() {
    while (count_ <= 56 && at_ < input_.size()) {
      buffer_ |= static_cast<uint64_t>(input_[at_++]) << count_;
      count_ += 8;
    }
  }
  uint32_t peek() const { return static_cast<uint32_t>(buffer_); }
  void drop(uint32_t n) {
    if (n > count_) broken("it ends in the middle of a code");
    buffer_ >>= n;
    count_ -= n;
  }
  uint32_t take(uint32_t n) {  // n <= 16
    refill();
    uint32_t value = peek() & ((1u << n) - 1);
    drop(n);
    return value;
  }
  /// Whole bytes, after what is left of the current one.
  std::span<const std::byte> take_bytes(std::size_t n) {
    at_ -= count_ / 8;
    buffer_ = 0;
    count_ = 0;
    if (n > input_.size() - at_) broken("it ends in a stored block");
    at_ += n;
    return input_.subspan(at_ - n, n);
  }

 private:
  std::span<const std::byte> input_;
  std::size_t at_ = 0;
  uint64_t buffer_ = 0;
  uint32_t count_ = 0;
};

constexpr uint32_t kFastBits = 10;

/// A canonical Huffman code: a table for codes of up to kFastBits, the canonical walk for others.
class Huffman {
 public:
  /// `lengths[s]`: bits of symbol s, 0 for unused.
  explicit Huffman(std::span<const uint8_t> lengths) {
    for (uint8_t length : lengths) ++count_[length];
    uint32_t used = static_cast<uint32_t>(lengths.size()) - count_[0];
    count_[0] = 0;
    int32_t left = 1;
    std::array<uint32_t, 17> code{}, first{};
    for (std::size_t length = 1; length <= 15; ++length) {
      left = left * 2 - count_[length];
      if (left < 0) broken("more codes than their lengths allow");
      code[length + 1] = (code[length] + count_[length]) << 1;
      first[length + 1] = first[length] + count_[length];
    }
    // An incomplete code is legal only where nothing or a single symbol is coded.
    if (left > 0 && used > 1) broken("an incomplete code");
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      uint32_t length = lengths[symbol];
      if (length == 0) continue;
      symbols_[first[length]++] = static_cast<uint16_t>(symbol);
      uint32_t reversed = 0, bits = code[length]++;
      for (uint32_t i = 0; i < length; ++i, bits >>= 1) reversed = reversed << 1 | (bits & 1);
      for (; length <= kFastBits && reversed < fast_.size(); reversed += 1u << length) {
        fast_[reversed] = static_cast<uint16_t>(symbol << 4 | length);
      }
    }
  }

  uint32_t decode(Bits& input) const {
    input.refill();
    uint32_t bits = input.peek();
    if (uint32_t entry = fast_[bits & (fast_.size() - 1)]; entry != 0) {
      input.drop(entry & 15);
      return entry >> 4;
    }
    int32_t code = 0, first = 0, index = 0;
    for (uint32_t length = 1; length <= 15; ++length, bits >>= 1) {
      code |= static_cast<int32_t>(bits & 1);
      int32_t count = count_[length];
      if (code - first < count) {
        input.drop(length);
        return symbols_[static_cast<std::size_t>(index + code - first)];
      }
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    broken("a code that stands for nothing");
  }

 private:
  std::array<uint16_t, 16> count_{};
  std::array<uint16_t, 288> symbols_{};
  std::array<uint16_t, 1u << kFastBits> fast_{};  // symbol << 4 | length; 0: not here
};

/// The last 32 KiB of output, which matches refer to, and the way out.
class Window {
 public:
  Window(uint64_t maximum, const InflateSink& sink) : maximum_(maximum), sink_(sink) {}

  void put(std::byte value) {
    bytes_[at_ & (kSize - 1)] = value;
    if ((++at_ & (kSize / 2 - 1)) == 0) flush();
  }
  void append(std::span<const std::byte> run) {
    while (!run.empty()) {
      std::size_t to = at_ & (kSize - 1);
      std::size_t n = std::min(run.size(), kSize / 2 - (to & (kSize / 2 - 1)));
      std::memcpy(&bytes_[to], run.data(), n);
      run = run.subspan(n);
      at_ += n;
      if ((at_ & (kSize / 2 - 1)) == 0) flush();
    }
  }
  void copy(uint32_t distance, uint32_t length) {
    if (distance > at_) broken("a match before the beginning");
    while (length > 0) {
      // As much as overlaps neither itself, nor the ring's end, nor the next flush.
      std::size_t from = (at_ - distance) & (kSize - 1), to = at_ & (kSize - 1);
      std::size_t n = std::min({std::size_t{length}, std::size_t{distance}, kSize - from,
                                kSize / 2 - (to & (kSize / 2 - 1))});
      std::memcpy(&bytes_[to], &bytes_[from], n);
      length -= static_cast<uint32_t>(n);
      at_ += n;
      if ((at_ & (kSize / 2 - 1)) == 0) flush();
    }
  }
  void flush() {
    if (at_ > maximum_) broken("it inflates to more than was declared");
    if (at_ == flushed_ || stopped_) return;
    // Never across the end of the ring: flushed at every half.
    std::span<const std::byte> piece(&bytes_[flushed_ & (kSize - 1)], at_ - flushed_);
    flushed_ = at_;
    stopped_ = !sink_(piece);
  }
  bool stopped() const { return stopped_; }
  uint64_t total() const { return at_; }

 private:
  static constexpr std::size_t kSize = 65536;
  std::array<std::byte, kSize> bytes_;
  uint64_t at_ = 0, flushed_ = 0, maximum_;
  const InflateSink& sink_;
  bool stopped_ = false;
};

struct Range {
  uint16_t base;
  uint8_t extra;  // bits
};

constexpr std::array<Range, 29> kLengths{
    {{3, 0},  {4, 0},  {5, 0},  {6, 0},   {7, 0},   {8, 0},   {9, 0},   {10, 0},  {11, 1}, {13, 1},
     {15, 1}, {17, 1}, {19, 2}, {23, 2},  {27, 2},  {31, 2},  {35, 3},  {43, 3},  {51, 3}, {59, 3},
     {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0}}};

constexpr std::array<Range, 30> kDistances{
    {{1, 0},     {2, 0},     {3, 0},     {4, 0},      {5, 1},      {7, 1},
     {9, 2},     {13, 2},    {17, 3},    {25, 3},     {33, 4},     {49, 4},
     {65, 5},    {97, 5},    {129, 6},   {193, 6},    {257, 7},    {385, 7},
     {513, 8},   {769, 8},   {1025, 9},  {1537, 9},   {2049, 10},  {3073, 10},
     {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13}}};

uint32_t ranged(Bits& input, const Range& range) { return range.base + input.take(range.extra); }

void compressed_block(Bits& input, const Huffman& literals, const Huffman& distances, Window& out) {
  while (!out.stopped()) {
    uint32_t symbol = literals.decode(input);
    if (symbol < 256) {
      out.put(static_cast<std::byte>(symbol));
      continue;
    }
    if (symbol == 256) return;
    if (symbol - 257 >= kLengths.size()) broken("an unknown match length");
    uint32_t length = ranged(input, kLengths[symbol - 257]);
    uint32_t place = distances.decode(input);
    if (place >= kDistances.size()) broken("an unknown match distance");
    out.copy(ranged(input, kDistances[place]), length);
  }
}

void fixed_block(Bits& input, Window& out) {
  static const auto codes = [] {
    std::array<uint8_t, 288> lengths;
    std::fill(lengths.begin(), lengths.begin() + 144, uint8_t{8});
    std::fill(lengths.begin() + 144, lengths.begin() + 256, uint8_t{9});
    std::fill(lengths.begin() + 256, lengths.begin() + 280, uint8_t{7});
    std::fill(lengths.begin() + 280, lengths.end(), uint8_t{8});
    std::array<uint8_t, 32> distance_lengths;
    distance_lengths.fill(5);
    return std::pair(Huffman(lengths), Huffman(distance_lengths));
  }();
  compressed_block(input, codes.first, codes.second, out);
}

void dynamic_block(Bits& input, Window& out) {
  constexpr std::array<uint8_t, 19> order{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                          11, 4,  12, 3, 13, 2, 14, 1, 15};
  uint32_t literal_count = input.take(5) + 257;
  uint32_t distance_count = input.take(5) + 1;
  uint32_t order_count = input.take(4) + 4;
  if (literal_count > 286 || distance_count > 30) broken("too many symbols");
  std::array<uint8_t, 19> code_lengths{};
  for (uint32_t i = 0; i < order_count; ++i) {
    code_lengths[order[i]] = static_cast<uint8_t>(input.take(3));
  }
  Huffman length_code(code_lengths);
  std::array<uint8_t, 286 + 30> lengths{};
  for (uint32_t i = 0; i < literal_count + distance_count;) {
    uint32_t symbol = length_code.decode(input);
    if (symbol < 16) {
      lengths[i++] = static_cast<uint8_t>(symbol);
      continue;
    }
    if (symbol == 16 && i == 0) broken("it repeats a length before the first");
    uint8_t value = symbol == 16 ? lengths[i - 1] : uint8_t{0};
    uint32_t times = symbol == 16   ? 3 + input.take(2)
                     : symbol == 17 ? 3 + input.take(3)
                                    : 11 + input.take(7);
    if (times > literal_count + distance_count - i) broken("more lengths than symbols");
    for (; times > 0; --times) lengths[i++] = value;
  }
  if (lengths[256] == 0) broken("a block without an end");
  std::span<const uint8_t> all(lengths);
  compressed_block(input, Huffman(all.first(literal_count)),
                   Huffman(all.subspan(literal_count, distance_count)), out);
}

void stored_block(Bits& input, Window& out) {
  std::span<const std::byte> header = input.take_bytes(4);
  auto word = [&](std::size_t i) {
    return static_cast<uint32_t>(header[i]) | static_cast<uint32_t>(header[i + 1]) << 8;
  };
  if ((word(0) ^ word(2)) != 0xffff) broken("the length of a stored block");
  out.append(input.take_bytes(word(0)));
}

}  // namespace

uint64_t inflate(std::span<const std::byte> data, uint64_t maximum, const InflateSink& sink) {
  Bits input(data);
  auto out = std::make_unique<Window>(maximum, sink);
  bool last = false;
  while (!last && !out->stopped()) {
    last = input.take(1) != 0;
    switch (input.take(2)) {
      case 0:
        stored_block(input, *out);
        break;
      case 1:
        fixed_block(input, *out);
        break;
      case 2:
        dynamic_block(input, *out);
        break;
      default:
        broken("an unknown kind of block");
    }
  }
  out->flush();
  return out->total();
}

}  // namespace monosem::io
