#pragma once

// Reads JSON of a known form by asking for what must come next. There is no tree and no recursion:
// what a file nests deeper than its form allows is simply not what was expected.

#include <cstdint>
#include <string>
#include <string_view>

namespace monosem::io {

class JsonReader {
 public:
  /// `what` names the text in errors: "the header of x.safetensors".
  JsonReader(std::string_view text, std::string what) : text_(text), what_(std::move(what)) {}

  void expect(char punctuation);
  /// Consumes it if it comes next.
  bool accept(char punctuation);
  /// After a member of an object or array: true for a comma, false for `close`.
  bool another(char close);
  std::string string();
  /// A number without sign, fraction or exponent, at most 2^64 - 1.
  uint64_t unsigned_integer();
  /// Nothing but white space may follow.
  void end();
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  char peek();
  uint32_t hex4();
  std::string_view text_;
  std::string what_;
  std::size_t at_ = 0;
};

/// Whether these bytes are UTF-8 (shortest forms, no surrogates, at most U+10FFFF).
bool is_utf8(std::string_view text);

}  // namespace monosem::io
