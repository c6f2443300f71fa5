#include <algorithm>

#include "io/open.h"
#include "io/pickle.h"
#include "test/check.h"
#include "test/files.h"

using namespace monosem;
using namespace monosem::io;
using monosem::test::code_of;
using namespace std::string_literals;

namespace {

Pickle parse(const std::string& program) {
  return parse_pickle(std::as_bytes(std::span(program)), "a pickle");
}

std::string message_of(const std::string& program) {
  try {
    parse(program);
  } catch (const Error& error) {
    return std::string(error.code()) + ": " + error.what();
  }
  return "accepted";
}

}  // namespace

TEST(pickle_integers_of_every_width) {
  Pickle pickle = parse(
      "(K\xffM\xff\xffJ\xff\xff\xff\xff\x8a\x00\x8a\x02\x00\x80\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft."s);
  const PickleNode& root = pickle.nodes[pickle.root];
  const std::vector<int64_t> expected{255, 65535, -1, 0, -32768, INT64_MAX};
  CHECK(root.items.size() == expected.size(), root.items.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(pickle.nodes[root.items[i]].integer == expected[i], i);
  }
}

TEST(pickle_names_what_it_refuses) {
  for (const char* program :
       {"cposix\nsystem\n.", "\x8c\x05posix\x8c\x06system\x93.", "(iposix\nsystem\n."}) {
    std::string message = message_of(program);
    CHECK(
        message.find("ERR_UNSAFE_PICKLE") == 0 && message.find("posix.system") != std::string::npos,
        message);
  }
  CHECK(message_of("ctorch._utils\n_rebuild_tensor_v3\n.").find("_rebuild_tensor_v3") !=
            std::string::npos,
        "a relative of what is allowed");
}

TEST(pickle_keeps_to_its_stack) {
  for (const std::string& program :
       {"."s, "0."s, "R."s, "a."s, "(a."s, "t."s, "h\x00."s, "]K\x01s."s, "}(K\x01u."s,
        "K\x01K\x01R."s, "ccollections\nOrderedDict\nK\x01R."s, "N"s, "\x80\x05N."s,
        "\x8b\xff\xff\xff\x7f"s, "X\xff\xff\xff\x7f"s, "(0N."s}) {
    CHECK(message_of(program).find("ERR_FORMAT") == 0, program << ": " << message_of(program));
  }
}

TEST(torch_checkpoints_of_the_loaders_open) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(test::fixtures() / "loaders")) {
    std::string extension = entry.path().extension().string(), path = entry.path().string();
    if ((extension != ".pt" && extension != ".pth") || !entry.is_regular_file()) continue;
    bool refused =
        path.find("_legacy") != std::string::npos || path.find("numpy_scalar") != std::string::npos;
    std::string code = code_of([&] { test::read_everything(*open_torch(MappedFile::open(path))); });
    CHECK((code != "none") == refused, path << ": " << code);
    ++files;
  }
  CHECK(files > 20, files);
}

TEST(torch_views_share_storages) {
  auto path = test::fixtures() / "loaders/deepseek_r1_views/repo";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (entry.path().extension() != ".pt") continue;
    auto file = open_torch(MappedFile::open(entry.path().string()));
    bool turned = std::any_of(file->tensors.begin(), file->tensors.end(),
                              [](const StoredTensor& t) { return !t.is_contiguous(); });
    bool offset = std::any_of(file->tensors.begin(), file->tensors.end(),
                              [](const StoredTensor& t) { return t.first_byte > 0; });
    CHECK(turned && offset, "views");
  }
}

TEST(bad_torch_checkpoints_are_refused) { test::check_bad_files("pt_", "ae.pt", open_torch); }
