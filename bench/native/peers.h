#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace monosem::bench {

/// y = x w + bias, then max(0, y) if `relu`: w [in, out] and x [tokens, in], float32, row-major.
struct DenseLayer {
  int64_t in, out, tokens;
  const float* w;
  const float* bias;
  const float* x;
  bool relu;
};

/// A library that computes the layer, its weights prepared beforehand as far as it can.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void run() = 0;
  /// [tokens, out], of the last run
  virtual const float* output() const = 0;
};

using MakePeer = std::function<std::unique_ptr<Peer>(const DenseLayer&)>;

/// Keeps a thread (0: the calling one) on a core.
void pin(int64_t thread, int64_t core);

/// Those that this program was linked with and that run on this processor; each adds itself.
std::map<std::string, MakePeer>& peers();

}  // namespace monosem::bench
