#pragma once

// The structure of a pickle, without running it. A pickle is a program for a stack machine whose
// only dangerous instructions name a Python callable and call it. Here a name must be on a list,
// and a call is recorded, not made: what the caller does not understand stays an inert node.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace monosem::io {

using NodeId = uint32_t;

struct PickleNode {
  enum class Kind : uint8_t {
    kNone,
    kBool,        // integer
    kInteger,     // integer; wider ones than 64 bits are kOpaque
    kText,        // text
    kTuple,       // items
    kList,        // items
    kDict,        // items: key, value, key, value, ...
    kGlobal,      // text: "module.name", one of the allowed
    kCall,        // items: the global, the tuple of its arguments
    kPersistent,  // items: the persistent id
    kOpaque,      // a value nobody looks at: bytes, a float, a set
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  std::string_view text;  // into the pickle's bytes, or static
  std::vector<NodeId> items;
};

struct Pickle {
  std::vector<PickleNode> nodes;  // may refer to each other in circles
  NodeId root = 0;
};

/// Parses protocol 2 to 4. `what` names the pickle in errors. Throws ERR_UNSAFE_PICKLE, with the
/// name, for a global that is not allowed, ERR_FORMAT for anything malformed.
Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& what);

}  // namespace monosem::io
