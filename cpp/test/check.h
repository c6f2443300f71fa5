#pragma once

// The native tests' harness: TEST registers a function, CHECK throws with the place and the
// message. `monosem_test [WORD...]` runs the tests whose name contains one of the words.

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace monosem::test {

struct Case {
  std::string name;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Register {
  Register(const char* name, std::function<void()> body) {
    cases().push_back({name, std::move(body)});
  }
};

}  // namespace monosem::test

/// TEST(gemm_matches_fp64) { ... }
#define TEST(name)                                                            \
  static void test_##name();                                                  \
  static const ::monosem::test::Register register_##name(#name, test_##name); \
  static void test_##name()

/// CHECK(a == b, "a is " << a)
#define CHECK(condition, message)                                                      \
  do {                                                                                 \
    if (!(condition)) {                                                                \
      std::ostringstream check_text;                                                   \
      check_text << __FILE__ << ':' << __LINE__ << ": " #condition << ": " << message; \
      throw std::runtime_error(check_text.str());                                      \
    }                                                                                  \
  } while (false)
