#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "core/half.h"
#include "io/open.h"
#include "io/safetensors_writer.h"
#include "test/check.h"
#include "test/files.h"

using namespace monosem;
using namespace monosem::io;
using monosem::test::code_of;
using monosem::test::scratch_file;
using monosem::test::write_file;

namespace {

/// A tensor of the writer that holds these values.
template <typename T>
TensorToWrite made_of(const std::string& name, ElementType type, std::vector<int64_t> shape,
                      const std::vector<T>& values) {
  return {name, type, std::move(shape), [values](std::vector<std::byte>& bytes) {
            auto span = std::as_bytes(std::span(values));
            bytes.assign(span.begin(), span.end());
          }};
}

std::string with_header(const std::string& header, std::size_t data_bytes) {
  uint64_t size = header.size();
  std::string out(reinterpret_cast<const char*>(&size), 8);
  return out + header + std::string(data_bytes, '\1');
}

std::string code_of_header(const std::string& header, std::size_t data_bytes) {
  std::string path = scratch_file("header.safetensors");
  write_file(path, with_header(header, data_bytes));
  return code_of([&] { open_safetensors(MappedFile::open(path)); });
}

std::vector<float> values(const TensorFile& file, const StoredTensor& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  read(file, tensor, ElementType::kFloat32, reinterpret_cast<std::byte*>(out.data()));
  return out;
}

}  // namespace

TEST(safetensors_round_trip_keeps_every_byte) {
  std::mt19937 random(1);
  std::vector<float> w(7 * 5);
  for (float& x : w) x = std::bit_cast<float>(static_cast<uint32_t>(random()));
  std::vector<uint16_t> b{0x3f80, 0x7fc0, 0x0001};
  std::string path = scratch_file("round_trip.safetensors");
  write_safetensors(path,
                    {made_of("b \"quoted\" \n", ElementType::kBFloat16, {3}, b),
                     made_of("w", ElementType::kFloat32, {7, 5}, w),
                     made_of("empty", ElementType::kInt64, {0, 4}, std::vector<int64_t>{})},
                    {{"format", "pt"}});
  auto file = open_safetensors(MappedFile::open(path));
  CHECK(file->tensors.size() == 3 && file->metadata.size() == 1, file->tensors.size());
  const StoredTensor* stored = file->find("w");
  CHECK(stored != nullptr && stored->shape == (std::vector<int64_t>{7, 5}), "w");
  CHECK(can_alias(*stored), "aligned and contiguous");
  auto bytes = alias(*file, *stored);
  CHECK(std::memcmp(bytes.get(), w.data(), w.size() * 4) == 0, "bytes of w");
  const StoredTensor* half = file->find("b \"quoted\" \n");
  CHECK(half != nullptr, "escaped name");
  std::vector<float> read_back = values(*file, *half);
  CHECK(read_back[0] == 1.0f && read_back[1] != read_back[1], "bfloat16 values");
  CHECK(read_back[2] == from_bfloat16(1), "bfloat16 subnormal");
  CHECK(values(*file, *file->find("empty")).empty(), "no elements");
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(path).parent_path())) {
    CHECK(entry.path().string().find("incomplete") == std::string::npos, entry.path());
  }
}

TEST(safetensors_alias_is_writable_and_leaves_the_file_alone) {
  std::vector<float> w{1, 2, 3, 4};
  std::string path = scratch_file("alias.safetensors");
  write_safetensors(path, {made_of("w", ElementType::kFloat32, {4}, w)});
  auto file = open_safetensors(MappedFile::open(path));
  auto first = alias(*file, file->tensors[0]);
  reinterpret_cast<float*>(first.get())[0] = 9;
  auto second = alias(*file, file->tensors[0]);
  file.reset();
  CHECK(reinterpret_cast<float*>(first.get())[0] == 9, "kept after the file is closed");
  CHECK(reinterpret_cast<float*>(second.get())[0] == 1, "others do not see the edit");
  CHECK(values(*open_safetensors(MappedFile::open(path)),
               open_safetensors(MappedFile::open(path))->tensors[0])[0] == 1,
        "the file");
}

TEST(safetensors_writer_refuses_what_cannot_be_read_back) {
  std::vector<float> w{1, 2};
  std::string path = scratch_file("refused.safetensors");
  auto write = [&](std::vector<TensorToWrite> tensors) {
    return code_of([&] { write_safetensors(path, std::move(tensors)); });
  };
  CHECK(write({made_of("w", ElementType::kFloat32, {3}, w)}) == kInvalidArgument, "size");
  CHECK(write({made_of("w", ElementType::kFloat32, {2}, w),
               made_of("w", ElementType::kFloat32, {2}, w)}) == kInvalidArgument,
        "twice");
  CHECK(write({made_of("\xff", ElementType::kFloat32, {2}, w)}) == kInvalidArgument, "name");
  CHECK(!std::filesystem::exists(path), "nothing is written");
  CHECK(code_of([&] { write_safetensors("/nowhere/x", {}); }) == kInternal, "folder");
}

TEST(safetensors_refuses_headers_that_lie) {
  const std::string good = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(code_of_header(good, 8) == "none", "the honest one");
  CHECK(code_of_header("  " + good + " \n", 8) == "none", "white space");
  for (
      const char* header : {
          R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":[[]]}})",
          R"({"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[2]}})",
          R"({"w":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[0,9223372036854775807,4],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},})",
          R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x)",
          R"({"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
          R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"v":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      }) {
    CHECK(code_of_header(header, 8) == kFormat, header);
  }
  CHECK(
      code_of_header(R"({"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", 8) == kDtype,
      "a type we do not read");
}

TEST(read_converts_and_gathers_any_strides) {
  // A [3, 2100] float32 matrix of small integers, read back transposed, as every type.
  std::vector<float> w(3 * 2100);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 255) - 127;
  std::string path = scratch_file("gather.safetensors");
  write_safetensors(path, {made_of("w", ElementType::kFloat32, {3, 2100}, w)});
  auto file = open_safetensors(MappedFile::open(path));
  StoredTensor turned = file->tensors[0].transposed(0, 1);
  CHECK(!turned.is_contiguous() && !can_alias(turned), "a view");
  std::vector<float> out = values(*file, turned);
  for (std::size_t i = 0; i < 2100; ++i) {
    for (std::size_t j = 0; j < 3; ++j) CHECK(out[i * 3 + j] == w[j * 2100 + i], i << ", " << j);
  }
  std::vector<uint16_t> halves(w.size());
  read(*file, turned, ElementType::kFloat16, reinterpret_cast<std::byte*>(halves.data()));
  for (std::size_t i = 0; i < w.size(); ++i) CHECK(from_float16(halves[i]) == out[i], i);
  CHECK(code_of([&] {
          read(*file, turned, ElementType::kInt32, reinterpret_cast<std::byte*>(out.data()));
        }) == kDtype,
        "floats are no integers");
}

TEST(bad_safetensors_are_refused) {
  monosem::test::check_bad_files("st_", "sae_weights.safetensors", open_safetensors);
}
