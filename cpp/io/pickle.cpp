#include "io/pickle.h"

#include <array>
#include <cstring>
#include <unordered_map>

#include "core/error.h"

namespace monosem::io {
namespace {

/// What a checkpoint of tensors may name: PyTorch's own allow-list, as far as state dicts use it.
constexpr std::array<std::string_view, 39> kAllowed{
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch.Size",
    "torch.device",
    "torch.float64",
    "torch.float32",
    "torch.float16",
    "torch.bfloat16",
    "torch.float",
    "torch.double",
    "torch.half",
    "torch.int64",
    "torch.int32",
    "torch.int16",
    "torch.int8",
    "torch.uint8",
    "torch.long",
    "torch.int",
    "torch.short",
    "torch.bool",
    "__builtin__.set",
    "builtins.set",
    "__builtin__.frozenset",
    "builtins.frozenset",
    "__builtin__.bytearray",
    "builtins.bytearray",
    "_codecs.encode",
    "torch.strided",
};

class Machine {
 public:
  using Kind = PickleNode::Kind;

  Machine(std::span<const std::byte> bytes, const std::string& what) : bytes_(bytes), what_(what) {}

  Pickle run() {
    while (!stopped_) step(static_cast<unsigned char>(take<uint8_t>()));
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(kFormat, what_ + ": " + why + " at byte " + std::to_string(at_));
  }

  // ---- input
  std::string_view take_text(uint64_t size) {
    if (size > bytes_.size() - at_) fail("it ends too early");
    const char* start = reinterpret_cast<const char*>(bytes_.data()) + at_;
    at_ += size;
    return {start, size};
  }
  template <typename T>
  T take() {
    T value;
    std::memcpy(&value, take_text(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view take_line() {
    std::size_t start = at_;
    while (take<char>() != '\n') {
    }
    return {reinterpret_cast<const char*>(bytes_.data()) + start, at_ - start - 1};
  }

  // ---- stack
  NodeId make(Kind kind, int64_t integer = 0, std::string_view text = {},
              std::vector<NodeId> items = {}) {
    pickle_.nodes.push_back({kind, integer, text, std::move(items)});
    return static_cast<NodeId>(pickle_.nodes.size() - 1);
  }
  PickleNode& node(NodeId id) { return pickle_.nodes[id]; }
  void push(NodeId id) { stack_.push_back(id); }
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  NodeId pop() {
    if (stack_.size() <= floor()) fail("an instruction needs more than the stack holds");
    NodeId id = stack_.back();
    stack_.pop_back();
    return id;
  }
  NodeId top() {
    NodeId id = pop();
    push(id);
    return id;
  }
  std::vector<NodeId> pop_to_mark() {
    if (marks_.empty()) fail("an instruction needs a mark");
    std::vector<NodeId> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                              stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  std::vector<NodeId> pop_items(std::size_t n) {
    std::vector<NodeId> items(n);
    for (std::size_t i = n; i-- > 0;) items[i] = pop();
    return items;
  }
  void extend(const std::vector<NodeId>& items, Kind kind) {
    PickleNode& target = node(top());
    if (target.kind == Kind::kOpaque) return;  // a set
    if (target.kind != kind) fail("items for something that holds none");
    if (kind == Kind::kDict && items.size() % 2 != 0) fail("a key without a value");
    target.items.insert(target.items.end(), items.begin(), items.end());
  }
  void recall(uint32_t index) {
    auto found = memo_.find(index);
    if (found == memo_.end()) fail("it recalls what it never stored");
    push(found->second);
  }

  // ---- names and calls
  void global(std::string_view module, std::string_view name) {
    std::string full = std::string(module) + '.' + std::string(name);
    for (std::string_view allowed : kAllowed) {
      if (full == allowed) return push(make(Kind::kGlobal, 0, allowed));
    }
    throw Error(kUnsafePickle,
                what_ + " names " + full +
                    ", which is no part of a plain checkpoint and could run code: it was not "
                    "loaded, and nothing was run. Convert it where you trust it: save the tensors "
                    "with safetensors.torch.save_file");
  }
  void call() {
    NodeId arguments = pop(), callee = pop();
    if (node(callee).kind != Kind::kGlobal) fail("it calls what is no callable");
    if (node(arguments).kind != Kind::kTuple) fail("the arguments of a call are no tuple");
    std::string_view name = node(callee).text;
    if (name == "collections.OrderedDict" && node(arguments).items.empty()) {
      push(make(Kind::kDict));
    } else if (name.starts_with("torch._utils.")) {
      push(make(Kind::kCall, 0, {}, {callee, arguments}));
    } else {
      push(make(Kind::kOpaque));
    }
  }

  void long_integer(std::string_view bytes) {
    if (bytes.size() > 8) return push(make(Kind::kOpaque));
    int64_t value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    if (!bytes.empty() && bytes.size() < 8) {  // two's complement: extend the sign
      unsigned shift = 64 - 8 * static_cast<unsigned>(bytes.size());
      value = static_cast<int64_t>(static_cast<uint64_t>(value) << shift) >> shift;
    }
    push(make(Kind::kInteger, value));
  }

  void step(unsigned char code);

  std::span<const std::byte> bytes_;
  const std::string& what_;
  std::size_t at_ = 0;
  bool stopped_ = false;
  Pickle pickle_;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, NodeId> memo_;
};

/// One instruction, under its name in Python's pickletools.
void Machine::step(unsigned char code) {
  switch (code) {
    case 0x80:  // PROTO
      if (uint8_t protocol = take<uint8_t>(); protocol < 2 || protocol > 4) {
        fail("pickle protocol " + std::to_string(protocol) + ", where 2 to 4 can be read,");
      }
      return;
    case 0x95:  // FRAME
      take<uint64_t>();
      return;
    case '.':  // STOP
      pickle_.root = pop();
      stopped_ = true;
      return;

    case '(':  // MARK
      return marks_.push_back(stack_.size());
    case '0':  // POP
      pop();
      return;
    case '1':  // POP_MARK
      pop_to_mark();
      return;
    case '2':  // DUP
      return push(top());

    case 'q':  // BINPUT
      memo_[take<uint8_t>()] = top();
      return;
    case 'r':  // LONG_BINPUT
      memo_[take<uint32_t>()] = top();
      return;
    case 0x94:  // MEMOIZE
      memo_[static_cast<uint32_t>(memo_.size())] = top();
      return;
    case 'h':  // BINGET
      return recall(take<uint8_t>());
    case 'j':  // LONG_BINGET
      return recall(take<uint32_t>());

    case 'N':  // NONE
      return push(make(Kind::kNone));
    case 0x88:  // NEWTRUE
      return push(make(Kind::kBool, 1));
    case 0x89:  // NEWFALSE
      return push(make(Kind::kBool, 0));
    case 'K':  // BININT1
      return push(make(Kind::kInteger, take<uint8_t>()));
    case 'M':  // BININT2
      return push(make(Kind::kInteger, take<uint16_t>()));
    case 'J':  // BININT
      return push(make(Kind::kInteger, take<int32_t>()));
    case 0x8a:  // LONG1
      return long_integer(take_text(take<uint8_t>()));
    case 'G':  // BINFLOAT
      take<uint64_t>();
      return push(make(Kind::kOpaque));

    case 'X':  // BINUNICODE
      return push(make(Kind::kText, 0, take_text(take<uint32_t>())));
    case 0x8c:  // SHORT_BINUNICODE
      return push(make(Kind::kText, 0, take_text(take<uint8_t>())));
    case 0x8d:  // BINUNICODE8
      return push(make(Kind::kText, 0, take_text(take<uint64_t>())));
    case 'U':  // SHORT_BINSTRING, Python 2's str
      return push(make(Kind::kText, 0, take_text(take<uint8_t>())));
    case 'B':  // BINBYTES
      take_text(take<uint32_t>());
      return push(make(Kind::kOpaque));
    case 'C':  // SHORT_BINBYTES
      take_text(take<uint8_t>());
      return push(make(Kind::kOpaque));

    case ')':  // EMPTY_TUPLE
      return push(make(Kind::kTuple));
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      return push(make(Kind::kTuple, 0, {}, pop_items(code - 0x84u)));
    case 't':  // TUPLE
      return push(make(Kind::kTuple, 0, {}, pop_to_mark()));
    case ']':  // EMPTY_LIST
      return push(make(Kind::kList));
    case 'a':  // APPEND
      return extend({pop()}, Kind::kList);
    case 'e':  // APPENDS
      return extend(pop_to_mark(), Kind::kList);
    case '}':  // EMPTY_DICT
      return push(make(Kind::kDict));
    case 's':  // SETITEM
      return extend(pop_items(2), Kind::kDict);
    case 'u':  // SETITEMS
      return extend(pop_to_mark(), Kind::kDict);
    case 0x8f:  // EMPTY_SET
      return push(make(Kind::kOpaque));
    case 0x90:  // ADDITEMS
      return extend(pop_to_mark(), Kind::kOpaque);
    case 0x91:  // FROZENSET
      pop_to_mark();
      return push(make(Kind::kOpaque));

    case 'c': {  // GLOBAL
      std::string_view module = take_line(), name = take_line();
      return global(module, name);
    }
    case 0x93: {  // STACK_GLOBAL
      NodeId name = pop(), module = pop();
      if (node(name).kind != Kind::kText || node(module).kind != Kind::kText) {
        fail("a global whose name is no text");
      }
      return global(node(module).text, node(name).text);
    }
    case 'i': {  // INST: a global, called
      std::string_view module = take_line(), name = take_line();
      global(module, name);
      fail("the instruction INST");
    }
    case 'R':  // REDUCE
      return call();
    case 'b':  // BUILD: attributes, which no tensor or dictionary needs
      pop();
      if (node(top()).kind != Kind::kDict && node(top()).kind != Kind::kCall) {
        fail("attributes for something that has none");
      }
      return;
    case 'Q': {  // BINPERSID
      NodeId id = pop();
      return push(make(Kind::kPersistent, 0, {}, {id}));
    }

    default:
      --at_;
      fail("the instruction " + std::to_string(code) + ", which no checkpoint of tensors uses,");
  }
}

}  // namespace

Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& what) {
  return Machine(bytes, what).run();
}

}  // namespace monosem::io
