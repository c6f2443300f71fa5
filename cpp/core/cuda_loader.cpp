#include "core/cuda_loader.h"

#include <dlfcn.h>

namespace monosem {

namespace {

struct Loaded {
  const monosem_backend* table = nullptr;
  std::string reason;
};

// The folder of the binary that this code is in: the addon in build/Release or prebuilds/*, or a
// test.
std::string own_folder() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &self) == 0 || self.dli_fname == nullptr) {
    return "";
  }
  std::string path = self.dli_fname;
  path.resize(path.find_last_of('/') + 1);
  return path;
}

Loaded open_backend(const std::string& file, const std::string& missing) {
  const std::string path = own_folder() + file;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const std::string why = dlerror();
    const bool absent = why.find("No such file") != std::string::npos;
    return {nullptr, absent ? missing : file + " cannot be loaded: " + why};
  }
  const auto entry = reinterpret_cast<monosem_backend_entry>(dlsym(library, "monosem_backend_get"));
  if (entry == nullptr) return {nullptr, file + " is not a monosem backend: it has no entry point"};
  const monosem_backend* table = entry();
  if (table->abi != MONOSEM_BACKEND_ABI || table->size < sizeof(monosem_backend)) {
    return {nullptr, file + " was built for another version (interface " +
                         std::to_string(table->abi) + ", wanted " +
                         std::to_string(MONOSEM_BACKEND_ABI) +
                         "); rebuild both with `npm run build:native`"};
  }
  return {table, ""};
}

}  // namespace

const monosem_backend* load_cuda(std::string& reason) {
  static const Loaded loaded = open_backend(
      "libmonosem_cuda.so",
      "the CUDA backend was not built; install nvcc 12.8 or newer and run `npm rebuild monosem`");
  reason = loaded.reason;
  return loaded.table;
}

const monosem_backend* load_emulated(std::string& reason) {
  static const Loaded loaded =
      open_backend("libmonosem_emulated.so",
                   "the emulated CUDA backend is for tests and was not built; run `npm run "
                   "build:native -- --emulated`");
  reason = loaded.reason;
  return loaded.table;
}

}  // namespace monosem
