#include "io/json_reader.h"

#include "core/error.h"

namespace monosem::io {
namespace {

void append_utf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

}  // namespace

void JsonReader::fail(const std::string& expected) const {
  throw Error(kFormat, what_ + ": expected " + expected + " at byte " + std::to_string(at_) +
                           (at_ < text_.size() ? "" : ", where it ends"));
}

char JsonReader::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
    ++at_;
  }
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::accept(char punctuation) {
  if (peek() != punctuation) return false;
  ++at_;
  return true;
}

void JsonReader::expect(char punctuation) {
  if (!accept(punctuation)) fail(std::string("'") + punctuation + "'");
}

bool JsonReader::another(char close) {
  if (accept(',')) return true;
  if (accept(close)) return false;
  fail(std::string("',' or '") + close + "'");
}

uint32_t JsonReader::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    char c = at_ < text_.size() ? text_[at_] : '\0';
    uint32_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    } else {
      fail("four hexadecimal digits");
    }
    value = value << 4 | digit;
  }
  return value;
}

std::string JsonReader::string() {
  if (!accept('"')) fail("a string");
  std::string out;
  for (;;) {
    if (at_ >= text_.size()) fail("the end of the string");
    char c = text_[at_++];
    if (c == '"') return out;
    if (static_cast<unsigned char>(c) < 0x20) fail("no control character in a string");
    if (c != '\\') {
      out += c;
      continue;
    }
    char escape = at_ < text_.size() ? text_[at_++] : '\0';
    switch (escape) {
      case '"':
      case '\\':
      case '/':
        out += escape;
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        uint32_t point = hex4();
        if (point >= 0xd800 && point < 0xdc00) {
          if (text_.substr(at_, 2) != "\\u") fail("the second half of a surrogate pair");
          at_ += 2;
          uint32_t low = hex4();
          if (low < 0xdc00 || low > 0xdfff) fail("the second half of a surrogate pair");
          point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
        } else if (point >= 0xdc00 && point < 0xe000) {
          fail("a surrogate pair");
        }
        append_utf8(out, point);
        break;
      }
      default:
        fail("an escape that JSON knows");
    }
  }
}

uint64_t JsonReader::unsigned_integer() {
  char first = peek();
  if (first < '0' || first > '9') fail("a non-negative integer");
  uint64_t value = 0;
  std::size_t start = at_;
  for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
    uint64_t digit = static_cast<uint64_t>(text_[at_] - '0');
    if (value > (UINT64_MAX - digit) / 10) fail("an integer below 2^64");
    value = value * 10 + digit;
  }
  if (first == '0' && at_ - start > 1) fail("an integer without leading zeros");
  if (at_ < text_.size() && (text_[at_] == '.' || (text_[at_] | 0x20) == 'e')) fail("an integer");
  return value;
}

void JsonReader::end() {
  peek();
  if (at_ != text_.size()) fail("nothing more");
}

bool is_utf8(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    unsigned char lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || i + length > text.size()) return false;
    for (std::size_t j = 1; j < length; ++j) {
      if ((byte(i + j) & 0xc0) != 0x80) return false;
    }
    unsigned char second = byte(i + 1);
    if (lead == 0xe0 && second < 0xa0) return false;   // longer than needed
    if (lead == 0xed && second >= 0xa0) return false;  // a surrogate
    if (lead == 0xf0 && second < 0x90) return false;
    if (lead == 0xf4 && second >= 0x90) return false;  // beyond U+10FFFF
    i += length;
  }
  return true;
}

}  // namespace monosem::io
