#include <cstdio>
#include <cstring>
#include <exception>

#include "test/check.h"

int main(int argc, char** argv) {
  int passed = 0, failed = 0;
  for (const auto& test : monosem::test::cases()) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted |= std::strstr(test.name.c_str(), argv[i]) != nullptr;
    if (!wanted) continue;
    try {
      test.body();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::printf("FAILED %s\n  %s\n", test.name.c_str(), error.what());
    }
  }
  std::printf("native tests: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
