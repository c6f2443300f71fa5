// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT: member data, then the central
// directory, then its end record, found from the back. Zip64 widens what 32 bits cannot hold.

#include "io/zip.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "core/error.h"

namespace monosem::io {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50, kEnd64LocatorSignature = 0x07064b50,
                   kEnd64Signature = 0x06064b50, kEntrySignature = 0x02014b50,
                   kLocalSignature = 0x04034b50;
constexpr uint64_t kEndSize = 22, kEnd64LocatorSize = 20, kEnd64Size = 56, kEntrySize = 46,
                   kLocalSize = 30, kMaximumComment = 65535;

class Archive {
 public:
  explicit Archive(const MappedFile& file) : path_(file.path()), bytes_(file.bytes()) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(kFormat, path_ + " is not a sound zip archive: " + what);
  }
  template <typename T>
  T number(uint64_t at) const {
    if (at > bytes_.size() || sizeof(T) > bytes_.size() - at) fail("it ends too early");
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(T));
    return value;
  }
  std::string_view text(uint64_t at, uint64_t size) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail("it ends too early");
    return {reinterpret_cast<const char*>(bytes_.data()) + at, size};
  }
  uint64_t size() const { return bytes_.size(); }
  const std::string& path() const { return path_; }

 private:
  const std::string& path_;
  std::span<const std::byte> bytes_;
};

/// What an archive begins with when it is no archive: says what to do about it.
std::string what_it_is_instead(std::string_view start) {
  if (start.empty()) return "it is empty";
  if (start.starts_with("version https://git-lfs")) {
    return "it is a Git LFS pointer, not the file itself: fetch it with git lfs pull";
  }
  if (start.starts_with('<')) {
    return "it is a web page, perhaps the error page of a failed download";
  }
  return "it has no central directory; if its download was cut off, download it again";
}

struct Directory {
  uint64_t offset, size, entries;
};

Directory find_directory(const Archive& archive) {
  auto none = [&] {
    archive.fail(what_it_is_instead(archive.text(0, std::min<uint64_t>(64, archive.size()))));
  };
  if (archive.size() < kEndSize) none();
  uint64_t at = archive.size() - kEndSize;
  uint64_t stop = at > kMaximumComment ? at - kMaximumComment : 0;
  auto is_end = [&] {
    return archive.number<uint32_t>(at) == kEndSignature &&
           archive.number<uint16_t>(at + 20) == archive.size() - at - kEndSize;
  };
  for (; !is_end(); --at) {
    if (at == stop) none();
  }
  Directory out{archive.number<uint32_t>(at + 16), archive.number<uint32_t>(at + 12),
                archive.number<uint16_t>(at + 10)};
  uint64_t end = at;
  if (at >= kEnd64LocatorSize &&
      archive.number<uint32_t>(at - kEnd64LocatorSize) == kEnd64LocatorSignature) {
    end = archive.number<uint64_t>(at - kEnd64LocatorSize + 8);
    if (end > at || at - end < kEnd64Size || archive.number<uint32_t>(end) != kEnd64Signature) {
      archive.fail("the zip64 end record is not where it is said to be");
    }
    out = {archive.number<uint64_t>(end + 48), archive.number<uint64_t>(end + 40),
           archive.number<uint64_t>(end + 32)};
  }
  if (out.offset > end || out.size > end - out.offset || out.entries > out.size / kEntrySize) {
    archive.fail("its central directory does not fit into it");
  }
  return out;
}

struct Entry {
  std::string_view name;
  uint64_t local_offset, stored_size, size;
  uint32_t crc32;
  uint16_t flags, method;
};

/// The zip64 extra field carries, in this order, what its 32-bit field gave as all ones.
void widen(const Archive& archive, uint64_t extra, uint64_t extra_size, Entry& entry) {
  constexpr uint64_t all_ones = UINT32_MAX;
  for (uint64_t at = extra; at + 4 <= extra + extra_size;) {
    uint64_t id = archive.number<uint16_t>(at), size = archive.number<uint16_t>(at + 2);
    at += 4;
    if (size > extra + extra_size - at) archive.fail("an extra field is too long");
    if (id == 1) {
      uint64_t left = size, place = at;
      for (uint64_t* field : {&entry.size, &entry.stored_size, &entry.local_offset}) {
        if (*field != all_ones) continue;
        if (left < 8) archive.fail("a zip64 field is missing");
        *field = archive.number<uint64_t>(place);
        place += 8;
        left -= 8;
      }
      return;
    }
    at += size;
  }
}

Entry read_entry(const Archive& archive, uint64_t& at, uint64_t end) {
  if (end - at < kEntrySize || archive.number<uint32_t>(at) != kEntrySignature) {
    archive.fail("its central directory is broken");
  }
  uint64_t name_size = archive.number<uint16_t>(at + 28);
  uint64_t extra_size = archive.number<uint16_t>(at + 30);
  uint64_t comment_size = archive.number<uint16_t>(at + 32);
  if (name_size + extra_size + comment_size > end - at - kEntrySize) {
    archive.fail("its central directory is broken");
  }
  Entry entry{.name = archive.text(at + kEntrySize, name_size),
              .local_offset = archive.number<uint32_t>(at + 42),
              .stored_size = archive.number<uint32_t>(at + 20),
              .size = archive.number<uint32_t>(at + 24),
              .crc32 = archive.number<uint32_t>(at + 16),
              .flags = archive.number<uint16_t>(at + 8),
              .method = archive.number<uint16_t>(at + 10)};
  widen(archive, at + kEntrySize + name_size, extra_size, entry);
  at += kEntrySize + name_size + extra_size + comment_size;
  return entry;
}

/// Where the member's data lie, its local header having been compared.
ZipMember locate(const Archive& archive, const Entry& entry, uint64_t directory) {
  std::string name(entry.name);
  if (archive.number<uint32_t>(entry.local_offset) != kLocalSignature) {
    archive.fail("member " + name + " is not where it is said to be");
  }
  uint64_t name_size = archive.number<uint16_t>(entry.local_offset + 26);
  uint64_t extra_size = archive.number<uint16_t>(entry.local_offset + 28);
  std::string_view local_name = archive.text(entry.local_offset + kLocalSize, name_size);
  if (local_name != entry.name) {
    archive.fail("the directory calls a member " + name + ", its own header calls it " +
                 std::string(local_name));
  }
  if (entry.flags & 1) throw Error(kUnsupported, archive.path() + ": " + name + " is encrypted");
  if (entry.method != 0 && entry.method != 8) {
    throw Error(kUnsupported, archive.path() + ": " + name + " is compressed by method " +
                                  std::to_string(entry.method) +
                                  "; stored and deflated members can be read");
  }
  uint64_t offset = entry.local_offset + kLocalSize + name_size + extra_size;
  if (offset > directory || entry.stored_size > directory - offset) {
    archive.fail("member " + name + " runs past the end of its data");
  }
  if (entry.method == 0 && entry.size != entry.stored_size) {
    archive.fail("member " + name + " is stored, yet has two sizes");
  }
  return {std::move(name), {offset, entry.stored_size, entry.size, entry.method == 8, entry.crc32}};
}

void check_apart(const Archive& archive, const std::vector<ZipMember>& members) {
  std::vector<const ZipMember*> order;
  std::unordered_set<std::string_view> names;
  for (const ZipMember& member : members) {
    order.push_back(&member);
    if (!names.insert(member.name).second) archive.fail("two members are called " + member.name);
  }
  std::sort(order.begin(), order.end(), [](const ZipMember* a, const ZipMember* b) {
    return a->extent.offset < b->extent.offset;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const Extent& before = order[i - 1]->extent;
    // A member's own header and name lie between the data of the one before and its own.
    uint64_t start = order[i]->extent.offset - kLocalSize - order[i]->name.size();
    if (before.offset + before.stored_size > start) archive.fail("its members overlap");
  }
}

}  // namespace

std::vector<ZipMember> read_zip_directory(const MappedFile& file) {
  Archive archive(file);
  Directory directory = find_directory(archive);
  std::vector<ZipMember> members;
  uint64_t at = directory.offset, end = directory.offset + directory.size;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    members.push_back(locate(archive, read_entry(archive, at, end), directory.offset));
  }
  check_apart(archive, members);
  return members;
}

}  // namespace monosem::io
