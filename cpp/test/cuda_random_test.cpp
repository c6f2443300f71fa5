// Random shapes, operators and dtypes: the CUDA backend against the CPU backend and fp64. A few
// rounds here; MONOSEM_TEST_ROUNDS and MONOSEM_TEST_SECONDS ask for more (scripts/test_gpu.mjs).

#include <chrono>
#include <cmath>

#include "test/cuda_sae.h"

namespace {

using namespace monosem::test;

int64_t from_environment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

/// Runs `call(table, device, views...)` on both backends and compares what they wrote to the first.
template <class Call>
void agree(const std::string& what, double tolerance, Strided& out, const std::vector<Strided*>& in,
           Call call) {
  std::vector<RemoteView> there;
  there.reserve(in.size());
  RemoteView written(out);
  std::vector<const monosem_view*> views{&written.view};
  for (Strided* operand : in) views.push_back(&there.emplace_back(*operand).view);
  ok(call(cuda_table(), cuda_handle(), views));
  written.back();
  const std::vector<double> got = out.values();
  static monosem_device* cpu = [] {
    monosem_device* device = nullptr;
    CHECK(monosem_backend_cpu()->device_open(0, &device) == MONOSEM_OK, "the CPU");
    return device;
  }();
  views = {&out.view};
  for (Strided* operand : in) views.push_back(&operand->view);
  CHECK(call(*monosem_backend_cpu(), cpu, views) == MONOSEM_OK,
        monosem_backend_cpu()->last_error());
  CHECK(monosem_backend_cpu()->synchronize(cpu) == MONOSEM_OK, "the CPU");
  const double slack = tolerance + 2 * rounding(out.view.dtype);
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = out.get(static_cast<int64_t>(i));
    CHECK(close(got[i], want, slack, slack),
          what << " element " << i << ": " << got[i] << " on CUDA, " << want << " on the CPU");
  }
}

using Views = std::vector<const monosem_view*>;

void tensor_round(Random& random) {
  const Shape shape = random_shape(random, static_cast<int>(random.integer(1, 4)), 12);
  Strided a(random_float_dtype(random), shape, random),
      b(random_float_dtype(random), shape, random);
  Strided out(random_float_dtype(random), shape, random);
  a.fill_normal(random);
  b.fill_normal(random);
  const auto op = static_cast<int32_t>(random.integer(MONOSEM_ADD, MONOSEM_EQ));
  agree("binary " + std::to_string(op), 1e-5, out, {&a, &b},
        [&](const monosem_backend& table, monosem_device* device, const Views& v) {
          return table.binary(device, op, v[0], v[1], v[2]);
        });
  const int32_t smooth[] = {MONOSEM_ABS, MONOSEM_EXP, MONOSEM_GELU, MONOSEM_SILU, MONOSEM_SOFTCAP};
  const int32_t unary = smooth[random.integer(0, 4)];
  agree("unary " + std::to_string(unary), 1e-5, out, {&a},
        [&](const monosem_backend& table, monosem_device* device, const Views& v) {
          return table.unary(device, unary, v[0], v[1], 2.0f);
        });
}

void row_round(Random& random) {
  const int64_t rows = random.integer(1, 9), n = random.integer(1, 400);
  Strided x(random_float_dtype(random), {rows, n}, random), out(MONOSEM_FLOAT32, {rows, n}, random);
  x.fill_normal(random);
  agree("softmax", 1e-5, out, {&x},
        [](const monosem_backend& table, monosem_device* device, const Views& v) {
          return table.softmax(device, v[0], v[1], 0);
        });
  const int64_t k = random.integer(1, n);
  Strided values(x.view.dtype, {rows, k}, random), places(MONOSEM_INT32, {rows, k});
  agree("topk", 0, values, {&x},
        [&](const monosem_backend& table, monosem_device* device, const Views& v) {
          if (&table == monosem_backend_cpu()) {
            return table.topk(device, v[0], &places.view, v[1], k);
          }
          RemoteView there(places);
          return table.topk(device, v[0], &there.view, v[1], k);
        });
}

void sae_round(Random& random) {
  const Kind kind = static_cast<Kind>(random.integer(0, 3));
  const int64_t tokens = random.integer(0, on_gpu() ? 300 : 60);
  const int64_t d_in = random.integer(1, 100), d_sae = random.integer(1, on_gpu() ? 3000 : 200);
  SaeCase sae(kind, d_in, d_sae, random_float_dtype(random), random);
  RemoteSae remote(sae);
  const std::vector<float> x = random_tokens(tokens, d_in, random);
  HostCsr acts = remote.encode(x, tokens);
  check_encode(sae, x, tokens, acts.view(),
               "kind " + std::to_string(static_cast<int>(kind)) + ", " + std::to_string(tokens) +
                   " x " + std::to_string(d_in) + " x " + std::to_string(d_sae),
               4e-6);
}

}  // namespace

TEST(cuda_random_shapes_agree) {
  const int64_t rounds = from_environment("MONOSEM_TEST_ROUNDS", 6);
  for (int64_t round = 0; round < rounds; ++round) {
    Random random(static_cast<uint64_t>(1000 + round));
    tensor_round(random);
    row_round(random);
    sae_round(random);
  }
}

TEST(cuda_churn_leaves_no_memory_behind) {
  const auto until = std::chrono::steady_clock::now() +
                     std::chrono::seconds(from_environment("MONOSEM_TEST_SECONDS", 1));
  uint64_t before = 0, after = 0, cached = 0;
  cuda_table().memory(cuda_handle(), &before, &cached);
  Random random(77);
  do {
    std::vector<Remote> held;
    for (int i = 0; i < 40; ++i) {
      const std::vector<float> values(static_cast<size_t>(random.integer(0, 1 << 18)));
      held.emplace_back(values);
      if (random.chance(0.4)) held.erase(held.begin() + random.integer(0, held.size() - 1));
    }
    sae_round(random);
  } while (std::chrono::steady_clock::now() < until);
  cuda_table().trim(cuda_handle());
  cuda_table().memory(cuda_handle(), &after, &cached);
  CHECK(after == before, after << " bytes in use, " << before << " before");
}
