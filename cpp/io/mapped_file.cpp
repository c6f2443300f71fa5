#include "io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace monosem::io {
namespace {

uint64_t page_size() {
  static const uint64_t size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    throw Error(errno == ENOENT ? kNotFound : kFormat,
                "cannot open " + path + ": " + std::strerror(errno));
  }
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw Error(kFormat, path + " is not a regular file");
  }
  return std::shared_ptr<const MappedFile>(
      new MappedFile(path, descriptor, static_cast<std::size_t>(status.st_size)));
}

MappedFile::MappedFile(std::string path, int descriptor, std::size_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {
  if (size == 0) return;
  void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  if (data == MAP_FAILED) {
    int reason = errno;
    ::close(descriptor);
    throw Error(kOutOfMemory, "cannot map " + path_ + " (" + std::to_string(size) +
                                  " bytes): " + std::strerror(reason));
  }
  data_ = static_cast<std::byte*>(data);
}

MappedFile::MappedFile(std::string name, std::span<const std::byte> bytes)
    : path_(std::move(name)),
      descriptor_(-1),
      size_(bytes.size()),
      memory_(bytes.begin(), bytes.end()),
      data_(memory_.data()) {}

std::shared_ptr<const MappedFile> MappedFile::of_bytes(const std::string& name,
                                                       std::span<const std::byte> bytes) {
  return std::shared_ptr<const MappedFile>(new MappedFile(name, bytes));
}

MappedFile::~MappedFile() {
  if (descriptor_ < 0) return;
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
  ::close(descriptor_);
}

std::shared_ptr<std::byte> MappedFile::private_view(uint64_t offset, uint64_t size) const {
  if (size == 0) return std::make_shared<std::byte>();
  if (descriptor_ < 0) {
    auto copy = std::make_shared<std::vector<std::byte>>(data_ + offset, data_ + offset + size);
    return {copy, copy->data()};
  }
  uint64_t before = offset % page_size();
  std::size_t length = before + size;
  void* data = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE,
                    descriptor_, static_cast<off_t>(offset - before));
  if (data == MAP_FAILED) {
    throw Error(kOutOfMemory, "cannot map " + std::to_string(size) + " bytes of " + path_ + ": " +
                                  std::strerror(errno));
  }
  std::shared_ptr<void> mapping(data, [length](void* start) { munmap(start, length); });
  return {mapping, static_cast<std::byte*>(data) + before};
}

void MappedFile::forget(uint64_t offset, uint64_t size) const {
  if (descriptor_ < 0) return;
  uint64_t first = (offset + page_size() - 1) / page_size() * page_size();
  uint64_t last = std::min<uint64_t>(offset + size, size_) / page_size() * page_size();
  if (first < last) madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
}

}  // namespace monosem::io
