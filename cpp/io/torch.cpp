// PyTorch checkpoints since version 1.6: a zip of PREFIX/data.pkl, a pickle of the objects, and
// PREFIX/data/KEY, one record of raw bytes per storage. Tensors are windows on storages: an offset,
// sizes and strides.

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "io/open.h"
#include "io/pickle.h"
#include "io/zip.h"

namespace monosem::io {
namespace {

using Kind = PickleNode::Kind;

constexpr std::size_t kMaximumRank = 64;
constexpr uint64_t kMaximumPickle = 4 << 20;  // a state dict of tensors needs a few kilobytes

/// Magic number and protocol of torch.save before version 1.6.
constexpr std::string_view kLegacyStart("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                                        14);

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The members that matter, found by name under the archive's one prefix.
struct Records {
  Extent pickle;
  std::unordered_map<std::string, Extent> storages;  // by key
  bool big_endian = false;
};

Records find_records(const MappedFile& file) {
  std::string_view start =
      text_of(file.bytes().first(std::min<std::size_t>(16, file.bytes().size())));
  if (start.starts_with(kLegacyStart)) {
    throw Error(kUnsupported,
                file.path() +
                    " was saved in the format that PyTorch used before version 1.6, which cannot "
                    "be read safely. Save it again with a newer one: "
                    "torch.save(torch.load(path, weights_only=True), path)");
  }
  if (start.starts_with('\x80')) {
    throw Error(kFormat, file.path() + " is a bare pickle, not a PyTorch checkpoint");
  }
  constexpr std::string_view suffix = "/data.pkl";
  std::vector<ZipMember> members = read_zip_directory(file);
  std::string prefix;
  Records out;
  for (const ZipMember& member : members) {
    if (!member.name.ends_with(suffix)) continue;
    if (!prefix.empty()) throw Error(kFormat, file.path() + " holds more than one data.pkl");
    prefix = member.name.substr(0, member.name.size() - suffix.size() + 1);
    out.pickle = member.extent;
  }
  if (prefix.empty()) {
    throw Error(kFormat, file.path() + " holds no data.pkl: it is no PyTorch checkpoint");
  }
  for (const ZipMember& member : members) {
    if (!member.name.starts_with(prefix)) continue;
    std::string rest = member.name.substr(prefix.size());
    if (rest == "constants.pkl") {
      throw Error(kUnsupported, file.path() +
                                    " is a TorchScript archive, a program rather than weights: "
                                    "save the module's state_dict() instead");
    }
    bool storage = rest.starts_with("data/");
    if ((storage || rest == "data.pkl" || rest == "byteorder") && member.extent.deflated) {
      throw Error(kUnsupported, file.path() + ": " + rest +
                                    " is compressed, as PyTorch never does: unpack and store it");
    }
    if (rest == "byteorder") {
      std::string_view order =
          text_of(file.bytes().subspan(member.extent.offset, member.extent.size));
      if (order != "little" && order != "big") {
        throw Error(kFormat, file.path() + ": its byte order is neither little nor big");
      }
      out.big_endian = order == "big";
    } else if (storage) {
      out.storages.emplace(rest.substr(5), member.extent);
    }
  }
  return out;
}

struct Storage {
  ElementType type;
  int64_t elements;
  Extent extent;
};

/// What the pickle says about tensors, each statement checked where it is used.
class Checkpoint {
 public:
  Checkpoint(const std::string& path, Records records, Pickle pickle)
      : path_(path), records_(std::move(records)), pickle_(std::move(pickle)) {}

  std::vector<StoredTensor> tensors() {
    // Every storage and every call must make sense, whether or not the dictionary reaches it.
    for (NodeId id = 0; id < pickle_.nodes.size(); ++id) {
      if (node(id).kind == Kind::kPersistent) storage(id);
      if (node(id).kind == Kind::kCall) tensor(id);
    }
    const PickleNode& root = node(pickle_.root);
    if (root.kind != Kind::kDict) fail("it holds no dictionary of tensors");
    std::vector<StoredTensor> out;
    std::unordered_set<std::string_view> names;
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const PickleNode& key = node(root.items[i]);
      if (key.kind != Kind::kText || node(root.items[i + 1]).kind != Kind::kCall) continue;
      if (!names.insert(key.text).second) fail("two tensors are called " + std::string(key.text));
      out.push_back(tensor(root.items[i + 1]));
      out.back().name = key.text;
    }
    return out;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const { throw Error(kFormat, path_ + ": " + why); }
  const PickleNode& node(NodeId id) const { return pickle_.nodes[id]; }
  int64_t integer(NodeId id) const {
    if (node(id).kind != Kind::kInteger) fail("a tensor's numbers are no integers");
    return node(id).integer;
  }
  std::vector<int64_t> integers(NodeId id) const {
    if (node(id).kind != Kind::kTuple) fail("a tensor's sizes are no tuple");
    if (node(id).items.size() > kMaximumRank) fail("a tensor of more dimensions than PyTorch has");
    std::vector<int64_t> out;
    for (NodeId item : node(id).items) out.push_back(integer(item));
    return out;
  }

  ElementType storage_type(NodeId id) const {
    struct Known {
      std::string_view name;
      ElementType type;
    };
    static constexpr std::array<Known, 10> known{{
        {"torch.DoubleStorage", ElementType::kFloat64},
        {"torch.FloatStorage", ElementType::kFloat32},
        {"torch.HalfStorage", ElementType::kFloat16},
        {"torch.BFloat16Storage", ElementType::kBFloat16},
        {"torch.LongStorage", ElementType::kInt64},
        {"torch.IntStorage", ElementType::kInt32},
        {"torch.ShortStorage", ElementType::kInt16},
        {"torch.CharStorage", ElementType::kInt8},
        {"torch.ByteStorage", ElementType::kUInt8},
        {"torch.BoolStorage", ElementType::kBool},
    }};
    for (const Known& candidate : known) {
      if (node(id).kind == Kind::kGlobal && node(id).text == candidate.name) return candidate.type;
    }
    fail("a storage of unknown type");
  }

  /// ("storage", type, key, location, elements)
  Storage storage(NodeId id) const {
    if (node(id).kind != Kind::kPersistent) fail("a tensor without a storage");
    const PickleNode& tuple = node(node(id).items[0]);
    if (tuple.kind != Kind::kTuple || tuple.items.size() != 5 ||
        node(tuple.items[0]).text != "storage" || node(tuple.items[2]).kind != Kind::kText) {
      fail("a persistent id that is no storage");
    }
    std::string key(node(tuple.items[2]).text);
    auto record = records_.storages.find(key);
    if (record == records_.storages.end()) fail("storage " + key + " is missing");
    Storage out{storage_type(tuple.items[1]), integer(tuple.items[4]), record->second};
    uint64_t width = element_size(out.type);
    if (out.elements < 0 || out.extent.size % width != 0 ||
        out.extent.size / width != static_cast<uint64_t>(out.elements)) {
      fail("storage " + key + " is said to hold " + std::to_string(out.elements) +
           " elements, its record has " + std::to_string(out.extent.size) + " bytes");
    }
    return out;
  }

  /// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata]) or
  /// _rebuild_parameter(tensor, requires_grad, hooks).
  StoredTensor tensor(NodeId id) const {
    const std::vector<NodeId>& call = node(id).items;
    const std::vector<NodeId>& arguments = node(call[1]).items;
    if (node(call[0]).text == "torch._utils._rebuild_parameter") {
      // A parameter of a parameter does not exist, so this goes one step deep.
      if (arguments.size() != 3 || node(arguments[0]).kind != Kind::kCall ||
          node(node(arguments[0]).items[0]).text != "torch._utils._rebuild_tensor_v2") {
        fail("a parameter without a tensor");
      }
      return tensor(arguments[0]);
    }
    if (arguments.size() < 6 || arguments.size() > 7) fail("a tensor with the wrong arguments");
    Storage from = storage(arguments[0]);
    int64_t offset = integer(arguments[1]);
    StoredTensor out;
    out.type = from.type;
    out.shape = integers(arguments[2]);
    out.strides = integers(arguments[3]);
    out.big_endian = records_.big_endian;
    out.extent = from.extent;
    out.extent.crc32.reset();  // PyTorch neither checks it nor always writes a true one
    check_window(from, offset, out);
    out.first_byte = static_cast<uint64_t>(offset) * element_size(from.type);
    return out;
  }

  /// The window must lie in its storage and not be larger than it: strides of 0 make a tensor of
  /// any size out of one element.
  void check_window(const Storage& from, int64_t offset, const StoredTensor& tensor) const {
    std::optional<uint64_t> elements = checked_elements(tensor.shape);
    bool sound = elements && tensor.strides.size() == tensor.shape.size() && offset >= 0 &&
                 offset <= from.elements && *elements <= static_cast<uint64_t>(from.elements);
    int64_t room = from.elements - offset - 1;  // steps that may still be taken
    for (std::size_t i = 0; sound && i < tensor.shape.size(); ++i) {
      int64_t steps = tensor.shape[i] - 1, stride = tensor.strides[i];
      sound = stride >= 0;
      if (!sound || *elements == 0 || steps == 0 || stride == 0) continue;
      sound = stride <= room / steps;
      room -= sound ? stride * steps : 0;
    }
    if (!sound || (*elements > 0 && room < 0)) {
      fail("a tensor does not lie within its storage of " + std::to_string(from.elements) +
           " elements");
    }
  }

  const std::string& path_;
  Records records_;
  Pickle pickle_;
};

}  // namespace

std::shared_ptr<const TensorFile> open_torch(FilePointer file) {
  auto out = std::make_shared<TensorFile>();
  out->file = std::move(file);
  const std::string& path = out->file->path();
  Records records = find_records(*out->file);
  if (records.pickle.size > kMaximumPickle) {
    throw Error(kUnsupported, path + ": its pickle has " + std::to_string(records.pickle.size) +
                                  " bytes, more than a checkpoint of tensors needs");
  }
  Pickle pickle =
      parse_pickle(out->file->bytes().subspan(records.pickle.offset, records.pickle.size), path);
  out->tensors = Checkpoint(path, std::move(records), std::move(pickle)).tensors();
  return out;
}

}  // namespace monosem::io
