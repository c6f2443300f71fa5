#include "cpu/form_cache.h"

#include <atomic>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "core/sae_forms.h"
#include "cpu/available_memory.h"
#include "cpu/sae_plan.h"
#include "test/files.h"
#include "test/sae_case.h"

namespace {

using namespace monosem::test;
namespace cpu = monosem::cpu;

constexpr int64_t kIn = 128, kSae = 1024;
constexpr const char* kNoScreen = "float32 rows: memory is short for the screen";
constexpr const char* kPacking = "float32 fused, packing as it goes: memory is short";

uint64_t allocated() {
  uint64_t in_use = 0, cached = 0;
  cpu::memory(&in_use, &cached);
  return in_use + cached;
}

/// A machine with room for `bytes` beside what is allocated already, and no reserve.
class SmallMachine {
 public:
  explicit SmallMachine(uint64_t bytes) {
    cpu::trim();
    room_for(bytes);
    cpu::set_memory_reader(
        [] { return cpu::MemoryReading{size - std::min<uint64_t>(size, allocated()), 0}; });
  }
  ~SmallMachine() { cpu::set_memory_reader(nullptr); }
  void room_for(uint64_t bytes) { size = allocated() + bytes; }

 private:
  static inline std::atomic<uint64_t> size;
};

/// An SAE whose screen pays, and its plan. All have forms of the same size.
struct Planned {
  std::vector<float> w, zero, theta;
  Plan plan;
  explicit Planned(Random& random)
      : w(random_tokens(kSae, kIn, random)),
        zero(kSae, 0.0f),
        theta(kSae, 25.0f),  // a few in a hundred are active
        plan({kIn,
              kSae,
              {w.data(), MONOSEM_FLOAT32, 2, {kIn, kSae}, {kSae, 1}},
              zero.data(),
              theta.data(),
              nullptr,
              zero.data(),
              nullptr,
              0}) {}

  uint64_t bytes() const { return monosem::total_bytes(cpu::sae_plan_forms(*plan.plan)); }
  /// Returns the path taken.
  std::string encode(const std::vector<float>& x, Csr* out = nullptr,
                     int32_t precision = MONOSEM_STRICT) {
    monosem_sae_stats stats;
    Csr acts = monosem::test::encode(plan.plan, x, static_cast<int64_t>(x.size()) / kIn, precision,
                                     &stats);
    if (out != nullptr) *out = std::move(acts);
    return stats.path;
  }
};

bool screened(const std::string& path) { return path.find("screen + refine") != path.npos; }

}  // namespace

TEST(form_cache_releases_the_least_recently_used) {
  Random random(71);
  Planned a(random), b(random), c(random), d(random);
  const std::vector<float> few = random_tokens(2, kIn, random);
  const std::vector<float> many = random_tokens(cpu::kBlockTokens, kIn, random);
  while (cpu::release_oldest_form()) {
  }
  a.encode(few);
  const uint64_t one = a.bytes();
  SmallMachine machine(one * 2);  // a's beside it: three in all, and some for the encodes
  CHECK(screened(b.encode(few)), "b");
  machine.room_for(one / 2);
  CHECK(screened(a.encode(few)), "a");
  // Many tokens pay for a form at once: the one not used for longest goes.
  c.encode(many, nullptr, MONOSEM_STRICT);
  CHECK(a.bytes() > 0 && b.bytes() == 0 && c.bytes() > 0,
        a.bytes() << ' ' << b.bytes() << ' ' << c.bytes());
  // Few do not: d waits until another lay idle between two of its calls.
  machine.room_for(one / 2);
  CHECK(d.encode(few) == kNoScreen && d.bytes() == 0, "no form on d's first call");
  a.encode(few);
  CHECK(screened(d.encode(few)), "d's second call");
  CHECK(a.bytes() > 0 && c.bytes() == 0, a.bytes() << ' ' << c.bytes());
}

TEST(form_cache_built_again_gives_the_same_bits) {
  Random random(72);
  Planned sae(random);
  const std::vector<float> first = random_tokens(40, kIn, random);
  const std::vector<float> x = random_tokens(7, kIn, random);
  sae.encode(first);  // calibrates
  for (int32_t precision :
       {MONOSEM_STRICT, MONOSEM_CERTIFIED, MONOSEM_FAST, MONOSEM_PRECISION_FLOAT32})
    for (const std::vector<float>* tokens : {&first, &x}) {
      Csr before, after;
      sae.encode(*tokens, &before, precision);
      while (cpu::release_oldest_form()) {
      }
      CHECK(sae.bytes() == 0, sae.bytes());
      sae.encode(*tokens, &after, precision);
      CHECK(same_bits(before.csr, after.csr), "precision " << precision);
    }
}

TEST(form_cache_encodes_without_any_form) {
  Random random(73);
  for (Kind kind : {Kind::kJumpRelu, Kind::kTopK})
    for (int32_t dtype : {MONOSEM_FLOAT32, MONOSEM_BFLOAT16}) {
      const SaeCase sae(kind, kIn, kSae + 5, dtype, random);
      const Plan plan(sae.encoder());
      const std::vector<float> x = random_tokens(70, kIn, random);
      const Csr want = encode(plan.plan, x, 70, MONOSEM_PRECISION_FLOAT32);
      while (cpu::release_oldest_form()) {
      }
      const SmallMachine machine(1000);
      monosem_sae_stats stats;
      const Csr got = encode(plan.plan, x, 70, MONOSEM_STRICT, &stats);
      CHECK(stats.path == std::string(kPacking), stats.path);
      CHECK(same_bits(want.csr, got.csr), "kind " << static_cast<int>(kind));
      CHECK(monosem::total_bytes(cpu::sae_plan_forms(*plan.plan)) == 0, "built");
    }
}

TEST(form_cache_keeps_what_is_in_use) {
  Random random(74);
  Planned a(random), b(random);
  const std::vector<float> x = random_tokens(3, kIn, random);
  a.encode(x);
  b.encode(x);
  const uint64_t held = a.bytes();
  const SmallMachine machine(0);
  {
    const cpu::FormUse use(
        a.plan.plan->screen_form,
        {[] { return uint64_t{0}; }, [&] { return a.plan.plan->screen_form.held(); }, true});
    CHECK(use, "nothing is missing");
    CHECK(!cpu::make_room(held + b.bytes() + 1) && b.bytes() > 0,
          "what would not do is not released");
    CHECK(cpu::make_room(b.bytes()), "b's are enough");
    CHECK(a.bytes() == held && b.bytes() == 0, a.bytes() << ' ' << b.bytes());
  }
  CHECK(cpu::make_room(2 * held) && a.bytes() == 0, "out of use it goes too");
}

TEST(form_cache_retries_when_building_fails) {
  Random random(75);
  Planned other(random);
  other.encode(random_tokens(3, kIn, random));
  int drops = 0, builds = 0;
  cpu::Form form([&] { ++drops; });
  const auto build = [&] {
    ++builds;
    if (other.bytes() > 0) throw std::bad_alloc();
    return monosem_sae_forms{10, 0, 0, 0};
  };
  {
    const cpu::FormUse use(form, {[] { return uint64_t{10}; }, build, false});
    CHECK(use && builds == 2 && drops == 1 && form.held().float32_panels == 10,
          builds << ' ' << drops);
  }
  const auto fail = [&]() -> monosem_sae_forms {
    throw monosem::Error(monosem::kOutOfMemory, "no");
  };
  while (cpu::release_oldest_form()) {
  }
  {
    const cpu::FormUse use(form, {[] { return uint64_t{10}; }, fail, false});
    CHECK(!use && form.held().float32_panels == 0, "nobody can give");
  }
  bool thrown = false;
  try {
    const cpu::FormUse use(
        form,
        {[] { return uint64_t{10}; },
         [&]() -> monosem_sae_forms { throw monosem::Error(monosem::kAborted, "stop"); }, false});
  } catch (const monosem::Error&) {
    thrown = true;
  }
  CHECK(thrown, "other errors pass");
}

TEST(form_cache_gives_way_to_tensors) {
  Random random(76);
  Planned sae(random);
  sae.encode(random_tokens(3, kIn, random));
  CHECK(sae.bytes() > 0, "built");
  const SmallMachine machine(32 << 20);
  cpu::release(cpu::allocate(30 << 20));
  CHECK(sae.bytes() > 0, "there was room");
  const uint64_t held = sae.bytes();
  cpu::release(cpu::allocate((32 << 20) + held / 2));
  CHECK(sae.bytes() == 0, "there was none");
}

TEST(form_cache_serves_many_threads) {
  constexpr int kThreads = 4;
  Random random(77);
  std::vector<std::unique_ptr<Planned>> saes;
  std::vector<std::vector<float>> x;
  std::vector<Csr> by_screen(kThreads), by_float32(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    saes.push_back(std::make_unique<Planned>(random));
    x.push_back(random_tokens(i % 2 == 0 ? 3 : 40, kIn, random));
    saes[i]->encode(x[i], &by_screen[i]);
    saes[i]->encode(x[i], &by_float32[i], MONOSEM_PRECISION_FLOAT32);
  }
  const uint64_t one = saes[0]->bytes();
  while (cpu::release_oldest_form()) {
  }
  const SmallMachine machine(3 * one);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 30; ++round) {
        Csr acts;
        saes[i]->encode(x[i], &acts, round % 3 == 0 ? MONOSEM_PRECISION_FLOAT32 : MONOSEM_STRICT);
        wrong += !same_bits(acts.csr, by_screen[i].csr) && !same_bits(acts.csr, by_float32[i].csr);
        if (round % 5 == i) cpu::release_oldest_form();
        saes[i]->bytes();
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0, wrong);
}

TEST(available_memory_is_the_tightest_of_the_control_groups) {
  const auto put = [](const std::string& path, const std::string& text) {
    const std::string file = scratch_file(path);
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    write_file(file, text);
  };
  const auto read = [](const std::string& membership) {
    return cpu::read_control_groups(membership, scratch_file("groups"));
  };
  CHECK(read("0::/none\n4:memory:/none\n").available == UINT64_MAX, "no groups");
  CHECK(read("what is this").total == UINT64_MAX, "no format");

  put("groups/pod/memory.max", "1000000\n");
  put("groups/pod/memory.current", "900000\n");
  put("groups/pod/memory.stat", "anon 1\ninactive_file 50000\nactive_file 10000\n");
  put("groups/pod/job/memory.max", "max\n");
  put("groups/pod/job/memory.current", "1\n");
  cpu::MemoryReading reading = read("1:name=systemd:/\n0::/pod/job\n");
  CHECK(reading.total == 1000000 && reading.available == 160000,
        reading.total << ' ' << reading.available);
  CHECK(read("4:memory:/pod/job\n").total == UINT64_MAX, "version 1 is mounted elsewhere");

  put("groups/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("groups/memory/memory.usage_in_bytes", "5\n");
  put("groups/memory/job/memory.limit_in_bytes", "5000\n");
  put("groups/memory/job/memory.usage_in_bytes", "7000\n");
  reading = read("3:cpu:/\n4:memory,hugetlb:/job\n");
  CHECK(reading.total == 5000 && reading.available == 0, reading.total << ' ' << reading.available);

  const cpu::MemoryReading here = cpu::read_memory();
  CHECK(here.total > 0 && here.available > 0 && here.available <= here.total,
        here.available << " of " << here.total);
}
