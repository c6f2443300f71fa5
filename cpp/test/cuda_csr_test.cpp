// Sparse activations on the CUDA backend: dense and back, counts, rows, interventions.

#include <cmath>
#include <limits>
#include <map>

#include "test/cuda_device.h"

namespace {

using namespace monosem::test;

// A dense matrix with about `share` of its elements set, and its rows as maps.
struct Acts {
  Acts(int64_t tokens_, int64_t d_sae_, double share, int32_t dtype, Random& random)
      : tokens(tokens_), d_sae(d_sae_), dense(dtype, {tokens, d_sae}, random) {
    rows.resize(static_cast<size_t>(tokens));
    for (int64_t i = 0; i < dense.size(); ++i) {
      if (!random.chance(share)) continue;
      dense.set(i, 0.5 + std::fabs(random.normal()));
      rows[static_cast<size_t>(i / d_sae)][i % d_sae] = dense.get(i);
    }
  }
  int64_t tokens, d_sae;
  Strided dense;
  std::vector<std::map<int64_t, double>> rows;
};

void check_rows(const HostCsr& csr, const std::vector<std::map<int64_t, double>>& want,
                const std::string& what) {
  CHECK(csr.tokens == static_cast<int64_t>(want.size()), what);
  CHECK(csr.row_offsets[0] == 0, what);
  for (size_t t = 0; t < want.size(); ++t) {
    uint32_t at = csr.row_offsets[t];
    CHECK(csr.row_offsets[t + 1] - at == want[t].size(), what << ": token " << t << " has "
                                                              << csr.row_offsets[t + 1] - at
                                                              << ", not " << want[t].size());
    for (const auto& [feature, value] : want[t]) {
      CHECK(csr.indices[at] == feature, what << ": feature " << csr.indices[at]);
      CHECK(close(csr.values[at], value, 1e-6), what << ": value " << csr.values[at]);
      ++at;
    }
  }
}

monosem_csr sparse(Acts& acts) {
  RemoteView dense(acts.dense);
  monosem_csr csr{};
  ok(cuda_table().csr_from_dense(cuda_handle(), &dense.view, &csr));
  return csr;
}

}  // namespace

TEST(cuda_csr_from_dense_and_back) {
  for_each_schedule([](const std::string& what) {
    Random random(41);
    for (const auto& [tokens, d_sae, share] : {std::tuple{1, 1, 1.0},
                                               {3, 1000, 0.02},
                                               {130, 7, 0.5},
                                               {4, 600, 1.0},
                                               {2, 50, 0.0},
                                               {0, 5, 0.0}}) {
      Acts acts(tokens, d_sae, share, random_float_dtype(random), random);
      const monosem_csr csr = sparse(acts);
      Strided back(MONOSEM_FLOAT32, {tokens, d_sae}, random);
      back.fill_normal(random);
      RemoteView dense(back);
      ok(cuda_table().csr_to_dense(cuda_handle(), &csr, &dense.view));
      dense.back();
      const std::vector<float> none(static_cast<size_t>(tokens));
      const Remote counts(none);
      ok(cuda_table().csr_count(cuda_handle(), &csr, counts.floats()));
      const std::vector<float> count = counts.get<float>();
      for (int64_t i = 0; i < back.size(); ++i) {
        CHECK(back.get(i) == acts.dense.get(i), what << ' ' << i << ": " << back.get(i));
      }
      for (size_t t = 0; t < count.size(); ++t) {
        CHECK(count[t] == static_cast<float>(acts.rows[t].size()), what << ' ' << count[t]);
      }
      check_rows(HostCsr(csr), acts.rows, what);
    }
  });
}

TEST(cuda_csr_keeps_nan_and_selects_rows) {
  for_each_schedule([](const std::string& what) {
    Random random(42);
    Acts acts(9, 70, 0.2, MONOSEM_FLOAT32, random);
    acts.dense.set(70 + 4, std::numeric_limits<double>::quiet_NaN());
    acts.rows[1][4] = std::numeric_limits<double>::quiet_NaN();
    const monosem_csr csr = sparse(acts);
    for (const std::vector<int64_t>& chosen : {std::vector<int64_t>{8, 0, 1, 1}, {}, {3}}) {
      monosem_csr out{};
      ok(cuda_table().csr_rows(cuda_handle(), &csr, chosen.data(),
                               static_cast<int64_t>(chosen.size()), &out));
      std::vector<std::map<int64_t, double>> want;
      for (int64_t row : chosen) want.push_back(acts.rows[static_cast<size_t>(row)]);
      check_rows(HostCsr(out), want, what);
    }
    check_rows(HostCsr(csr), acts.rows, what);
  });
}

TEST(cuda_csr_intervenes) {
  for_each_schedule([](const std::string& what) {
    Random random(43);
    for (const std::vector<uint32_t>& features :
         {std::vector<uint32_t>{}, {5}, {0, 7, 8, 9, 31, 32, 199}}) {
      for (int32_t kind = MONOSEM_ZERO; kind <= MONOSEM_KEEP; ++kind) {
        for (float value : {0.0f, -0.75f}) {
          Acts acts(5, 200, 0.1, MONOSEM_FLOAT32, random);
          const monosem_csr csr = sparse(acts);
          monosem_csr out{};
          ok(cuda_table().csr_intervene(cuda_handle(), &csr, kind, features.data(),
                                        static_cast<int64_t>(features.size()), value, &out));
          std::vector<std::map<int64_t, double>> want = acts.rows;
          for (auto& row : want) {
            if (kind == MONOSEM_KEEP) {
              std::map<int64_t, double> kept;
              for (uint32_t f : features) {
                if (row.contains(f)) kept[f] = row[f];
              }
              row = kept;
              continue;
            }
            for (uint32_t f : features) {
              const double old = row.contains(f) ? row[f] : 0.0;
              row[f] = kind == MONOSEM_ZERO   ? 0.0
                       : kind == MONOSEM_SET  ? value
                       : kind == MONOSEM_PLUS ? old + value
                                              : old * value;
              if (row[f] == 0.0) row.erase(f);
            }
          }
          check_rows(HostCsr(out), want, what + " kind " + std::to_string(kind));
          HostCsr freed(csr);
        }
      }
    }
  });
}
