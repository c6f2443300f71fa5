#include <algorithm>
#include <cstring>

#include "io/crc32.h"
#include "io/inflate.h"
#include "io/open.h"
#include "test/check.h"
#include "test/files.h"

using namespace monosem;
using namespace monosem::io;
using monosem::test::code_of;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

std::string inflated(const std::string& stream, uint64_t maximum) {
  std::string out;
  inflate(bytes_of(stream), maximum, [&](std::span<const std::byte> piece) {
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return true;
  });
  return out;
}

// 900 bytes by zlib at level 9: 300 of a and b at random, then 600 of x.
const std::string kDynamic =
    "ed8fc115c030084267e54fd1f1db1292e8ebb9b770888a0651c848782279dec2794ad694e9c183338f64"
    "c0cd41527e999bc41625622ce96988bd7d26d2d72cadd335e22546555635ad7200d044ea05ba0e0e7ec0"
    "0d";

}  // namespace

TEST(crc32_check_value) {
  const std::string digits = "123456789";  // the check value every CRC catalogue gives
  CHECK(crc32(bytes_of(digits)) == 0xcbf43926u, crc32(bytes_of(digits)));
  uint32_t in_two = crc32(bytes_of(digits).subspan(4), crc32(bytes_of(digits).first(4)));
  CHECK(in_two == 0xcbf43926u, in_two);
}

TEST(inflate_every_kind_of_block) {
  CHECK(inflated(std::string("\x01\x06\x00\xf9\xff", 5) + "stored", 6) == "stored", "stored");
  CHECK(inflated(from_hex("cbcdcfcb2f4ecd55c845a501"), 23) == "monosem monosem monosem", "fixed");
  std::string dynamic = inflated(from_hex(kDynamic), 900);
  CHECK(dynamic.size() == 900 && crc32(bytes_of(dynamic)) == 0x3a1115a7u, dynamic.size());
}

TEST(inflate_refuses_more_than_declared_and_less_than_whole) {
  const std::string stream = from_hex(kDynamic);
  CHECK(code_of([&] { inflated(stream, 899); }) == kFormat, "bounded output");
  for (std::size_t size = 0; size < stream.size(); ++size) {
    CHECK(code_of([&] { inflated(stream.substr(0, size), 900); }) == kFormat, size);
  }
  CHECK(code_of([&] { inflated("\x07", 9); }) == kFormat, "an unknown block");
  CHECK(code_of([&] { inflated(from_hex("030200"), 9); }) == kFormat, "before the start");
}

TEST(npz_variants_hold_the_same_array) {
  // Headers 1.0 to 3.0, Fortran order, float64 and float16, stored and deflated, in one file.
  auto path = test::fixtures() / "loaders/gemma_2_npz_variants/repo";
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.path().extension() != ".npz") continue;
    auto file = open_npz(MappedFile::open(entry.path().string()));
    CHECK(file->tensors.size() >= 5, file->tensors.size());
    CHECK(test::read_everything(*file) > 0, "numbers");
    bool fortran = std::any_of(file->tensors.begin(), file->tensors.end(),
                               [](const StoredTensor& t) { return !t.is_contiguous(); });
    CHECK(fortran, "a Fortran-ordered array");
    ++files;
  }
  CHECK(files > 0, path);
}

TEST(bad_npz_are_refused) { test::check_bad_files("npz_", "params.npz", open_npz); }
