#pragma once

// A file's bytes as memory, without reading them: the readers parse a shared read-only mapping, and
// a tensor that lies in the file as it is used gets a private mapping of its own pages.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace monosem::io {

/// A regular file, mapped read-only. The size is what it was when the file was opened; a file cut
/// off by someone else afterwards faults on access, as with every mapping, which is why downloads
/// are renamed into place whole.
class MappedFile {
 public:
  /// Throws ERR_NOT_FOUND when there is no such file, ERR_FORMAT when it is a folder or a device.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  /// The same over bytes that are in memory already, `name` standing for the path in messages.
  static std::shared_ptr<const MappedFile> of_bytes(const std::string& name,
                                                    std::span<const std::byte> bytes);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// The bytes [offset, offset + size), which must lie in the file, as writable memory that never
  /// reaches the file (copy on write). The mapping lasts as long as the pointer.
  std::shared_ptr<std::byte> private_view(uint64_t offset, uint64_t size) const;

  /// These bytes will not be read again: their pages stop counting as memory of this process.
  void forget(uint64_t offset, uint64_t size) const;

 private:
  MappedFile(std::string path, int descriptor, std::size_t size);
  MappedFile(std::string name, std::span<const std::byte> bytes);
  std::string path_;
  int descriptor_;  // -1 over memory
  std::size_t size_;
  std::vector<std::byte> memory_;
  const std::byte* data_ = nullptr;  // null for an empty file, which cannot be mapped
};

}  // namespace monosem::io
