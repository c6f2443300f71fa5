#pragma once

// Files in tests: scratch ones, and the fixtures shared with the TypeScript tests.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/open.h"
#include "test/check.h"

namespace monosem::test {

/// A path for `name` in a folder that goes when the program ends.
inline std::string scratch_file(const std::string& name) {
  struct Folder {
    std::filesystem::path path;
    Folder() {
      std::string pattern = (std::filesystem::temp_directory_path() / "monosem-XXXXXX").string();
      CHECK(mkdtemp(pattern.data()) != nullptr, "cannot make " << pattern);
      path = pattern;
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return (folder.path / name).string();
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  CHECK(in.good(), "cannot read " << path);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::filesystem::path fixtures() { return MONOSEM_FIXTURES; }

/// The code of the Error that `body` throws; "none" if it throws none.
inline std::string code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

using Open = std::function<std::shared_ptr<const io::TensorFile>(io::FilePointer)>;

/// Reads every tensor as float32, as a loader would; returns how many numbers there were.
inline std::size_t read_everything(const io::TensorFile& file) {
  std::size_t count = 0;
  for (const io::StoredTensor& tensor : file.tensors) {
    std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
    io::read(file, tensor, io::ElementType::kFloat32, reinterpret_cast<std::byte*>(out.data()));
    count += out.size();
  }
  return count;
}

/// test/fixtures/bad/PREFIX*/NAME: each is refused with a typed error, unless its note allows more.
inline void check_bad_files(const std::string& prefix, const std::string& name, const Open& open) {
  int checked = 0;
  for (const auto& entry : std::filesystem::directory_iterator(fixtures() / "bad")) {
    std::string folder = entry.path().filename().string();
    if (!folder.starts_with(prefix)) continue;
    bool must_refuse =
        read_file((entry.path() / "note.json").string()).find("\"must\": \"refuse\"") !=
        std::string::npos;
    std::string code = code_of(
        [&] { read_everything(*open(io::MappedFile::open((entry.path() / name).string()))); });
    CHECK(code != "none" || !must_refuse, folder << " was accepted");
    CHECK(code != kInternal, folder << ": " << code);
    ++checked;
  }
  CHECK(checked > 20, "only " << checked << " files under " << fixtures() / "bad");
}

}  // namespace monosem::test
