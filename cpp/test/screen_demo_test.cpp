// The demo's trained SAEs, whose weights are nothing like Gaussian, through every path.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "io/open.h"
#include "io/tensor_file.h"
#include "test/files.h"
#include "test/isas.h"
#include "test/sae_case.h"

namespace {

using namespace monosem::test;
namespace io = monosem::io;

std::vector<float> tensor(const io::TensorFile& file, const std::string& name) {
  const io::StoredTensor* stored = file.find(name);
  if (stored == nullptr) return {};
  std::vector<float> values(static_cast<size_t>(stored->elements()));
  io::read(file, *stored, io::ElementType::kFloat32, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

}  // namespace

TEST(screen_encodes_the_demo_saes) {
  const std::filesystem::path saes = fixtures() / ".." / ".." / "assets" / "demo" / "saes";
  for (const char* hook : {"blocks.1.hook_resid_post", "blocks.2.hook_resid_post"}) {
    const auto file = io::open_safetensors(
        io::MappedFile::open((saes / hook / "sae_weights.safetensors").string()));
    const std::vector<float> w_enc = tensor(*file, "W_enc"), w_dec = tensor(*file, "W_dec");
    const int64_t d_in = file->find("W_enc")->shape[0], d_sae = file->find("W_enc")->shape[1];
    Random random(61);
    SaeCase sae(Kind::kJumpRelu, d_in, d_sae, MONOSEM_FLOAT32, random);
    for (int64_t i = 0; i < d_in * d_sae; ++i) sae.w.set(i, w_enc[i]);
    sae.bias = sae.gate_bias = tensor(*file, "b_enc");
    sae.theta = tensor(*file, "threshold");
    if (sae.theta.empty()) {
      sae.theta.assign(d_sae, 0.0f);
      sae.k = 16;
    }
    sae.center.clear();
    // What these SAEs were trained to see, after the subtraction of b_dec: a few of their own
    // decoder rows, some noise, and a first token far from all others.
    const int64_t tokens = 150;
    std::vector<float> x = random_tokens(tokens, d_in, random);
    for (float& value : x) value *= 0.05f;
    for (int64_t t = 0; t < tokens; ++t)
      for (int n = 0; n < 16; ++n) {
        const int64_t f = random.integer(0, d_sae - 1);
        const float strength = random.uniform(0.5f, 4.0f);
        for (int64_t i = 0; i < d_in; ++i) x[t * d_in + i] += strength * w_dec[f * d_in + i];
      }
    x[7] += 300.0f;
    for_each_isa([&](const std::string& isa) {
      for (int64_t count : {int64_t{1}, int64_t{8}, tokens})
        for (int32_t precision : {MONOSEM_STRICT, MONOSEM_PRECISION_FLOAT32}) {
          const Plan plan(sae.encoder());
          monosem_sae_stats stats;
          const Csr acts = encode(plan.plan, x, count, precision, &stats);
          const std::string what = isa + ", " + hook + ", " + stats.path;
          check_encode(sae, x, count, acts.csr, what);
          CHECK(same_bits(acts.csr, encode(plan.plan, x, count, precision).csr), what);
          CHECK(stats.error_to_margin < 1, what << ": " << stats.error_to_margin);
        }
    });
  }
}
