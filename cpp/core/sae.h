#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "core/feature_acts.h"
#include "core/tensor.h"

namespace monosem {

/// Ends the encodes that were given it, between blocks of tokens.
using Cancel = std::shared_ptr<std::atomic<bool>>;

/// One SAE's encoder as vectors (monosem_sae_encoder) and the backend's prepared forms of it, which
/// are built on the first encode.
class SaePlan {
 public:
  struct Encoder {
    Tensor W_enc;                    ///< [d_in, d_sae], any float dtype and strides
    Tensor gate_bias, theta, scale;  ///< [d_sae]; scale may be empty (1)
    Tensor bias;                     ///< [d_sae]
    Tensor center;                   ///< [d_in] or empty
    int64_t k = 0;
  };

  /// Throws ERR_SHAPE, ERR_DTYPE, ERR_DEVICE, ERR_INVALID_ARGUMENT (k).
  explicit SaePlan(Encoder encoder);
  ~SaePlan();
  SaePlan(const SaePlan&) = delete;
  SaePlan& operator=(const SaePlan&) = delete;

  Device& device() const { return encoder_.W_enc.device(); }
  int64_t d_in() const { return encoder_.W_enc.shape()[0]; }
  int64_t d_sae() const { return encoder_.W_enc.shape()[1]; }
  /// Of the last encode that finished.
  monosem_sae_stats stats() const;
  /// Bytes of the prepared forms that are in memory now.
  monosem_sae_forms forms() const;

  /// The body of the encode command, on the stream's thread.
  void encode(const float* x, int64_t tokens, int32_t precision, const Cancel& cancel,
              monosem_csr* out);

 private:
  Encoder encoder_;
  std::atomic<monosem_sae_plan*> prepared_ = nullptr;  // made on the stream's thread
  mutable std::mutex mutex_;
  monosem_sae_stats stats_{};
};

struct SaeInput {
  Tensor input, statistics;  ///< float32 [tokens, d_in]; [tokens, 2] or empty
};
/// x [tokens, d_in]: normalise, then minus b_dec (empty: 0).
SaeInput sae_input(const Tensor& x, int32_t normalize, float factor, const Tensor& b_dec);

/// `input` as sae_input gives it.
Acts sae_encode(const std::shared_ptr<SaePlan>& plan, const Tensor& input, int32_t precision,
                const Cancel& cancel);

struct SaeDecoder {
  Tensor W_dec;      ///< [d_sae, d_out]
  Tensor row_scale;  ///< [d_sae] or empty
  Tensor b_dec;      ///< [d_out] or empty
  int32_t normalize = MONOSEM_NORMALIZE_NONE;
  Tensor statistics;  ///< [tokens, 2] or empty
  float factor = 1;
  Tensor x;  ///< float32 [tokens, d_out] or empty: then error = x - out
  bool recons = false;
};
struct SaeDecoded {
  Tensor out, recons, error;  ///< float32 [tokens, d_out]; the last two may be empty
};
SaeDecoded sae_decode(const Acts& acts, const SaeDecoder& decoder);

}  // namespace monosem
