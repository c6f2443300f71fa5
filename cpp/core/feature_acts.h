#pragma once

#include <memory>
#include <vector>

#include "core/tensor.h"

namespace monosem {

/// Sparse activations [tokens, d_sae] as compressed rows. The arrays exist once the command that
/// makes them has run; until then the object only stands for them in the queue.
class FeatureActs {
 public:
  FeatureActs(Device& device, int64_t tokens, int64_t d_sae);
  ~FeatureActs();
  FeatureActs(const FeatureActs&) = delete;
  FeatureActs& operator=(const FeatureActs&) = delete;

  Device& device() const { return device_; }
  int64_t tokens() const { return csr_.tokens; }
  int64_t d_sae() const { return csr_.d_sae; }

  /// For commands, on the stream's thread. Throws ERR_INTERNAL when the making command failed.
  const monosem_csr& filled() const;
  monosem_csr* unfilled() { return &csr_; }

 private:
  Device& device_;
  monosem_csr csr_{};
};

using Acts = std::shared_ptr<FeatureActs>;

Acts acts_from_dense(const Tensor& dense);  ///< [tokens, d_sae]
Tensor acts_to_dense(const Acts& acts);
Tensor acts_count(const Acts& acts);  ///< float32 [tokens], non-zeros
Acts acts_rows(const Acts& acts, std::vector<int64_t> rows);
/// `features` ascending and distinct.
Acts acts_intervene(const Acts& acts, int32_t intervention, std::vector<uint32_t> features,
                    float value);
Acts acts_to(const Acts& acts, Device& device);

/// The arrays on the host.
struct HostCsr {
  std::vector<uint32_t> row_offsets, indices;
  std::vector<float> values;
};
/// Queues filling `host`; as `read` of a tensor.
void read(const Acts& acts, std::shared_ptr<HostCsr> host);

}  // namespace monosem
