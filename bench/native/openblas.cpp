// OpenBLAS: its matrix product on top of the bias. It has no epilogue, so that ReLU is a pass of
// its own over the output.

#include <cblas.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "peers.h"

namespace monosem::bench {
namespace {

class OpenBlas : public Peer {
 public:
  explicit OpenBlas(const DenseLayer& layer) : layer_(layer), y_(layer.tokens * layer.out) {}

  void run() override {
    const auto& [in, out, tokens, w, bias, x, relu] = layer_;
    for_all_tokens([this](int64_t token) {
      std::copy_n(layer_.bias, layer_.out, y_.data() + token * layer_.out);
    });
    const auto m = static_cast<blasint>(tokens), n = static_cast<blasint>(out),
               k = static_cast<blasint>(in);
    if (tokens == 1) {
      cblas_sgemv(CblasRowMajor, CblasTrans, k, n, 1, w, n, x, 1, 1, y_.data(), 1);
    } else {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1, x, k, w, n, 1, y_.data(),
                  n);
    }
    if (relu)
      for_all_tokens([this](int64_t token) {
        float* row = y_.data() + token * layer_.out;
        for (int64_t j = 0; j < layer_.out; ++j) row[j] = std::max(row[j], 0.0f);
      });
  }

  const float* output() const override { return y_.data(); }

 private:
  /// On as many threads as OpenBLAS has, where that outweighs starting them.
  template <class Body>
  void for_all_tokens(const Body& body) const {
    const int64_t tokens = layer_.tokens, worth = int64_t{1} << 20;
    const int threads = tokens * layer_.out < worth ? 1 : openblas_get_num_threads();
    const auto share = [&](int thread) {
      pin(0, thread);
      const int64_t end = tokens * (thread + 1) / threads;
      for (int64_t token = tokens * thread / threads; token < end; ++token) body(token);
    };
    std::vector<std::jthread> others;
    for (int thread = 1; thread < threads; ++thread) others.emplace_back(share, thread);
    share(0);
  }

  DenseLayer layer_;
  std::vector<float> y_;
};

const bool added =
    peers()
        .emplace("OpenBLAS",
                 [](const DenseLayer& layer) { return std::make_unique<OpenBlas>(layer); })
        .second;

}  // namespace
}  // namespace monosem::bench
