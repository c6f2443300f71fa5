#include "fuzz/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  monosem::io::fuzz_reader(monosem::io::open_npz, data, size);
  return 0;
}
