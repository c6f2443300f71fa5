#pragma once

#include "device.cuh"
#include "split.cuh"

/// One SAE's encoder, prepared: its weights as float16 planes, feature by feature (2 B per weight
/// of a 16-bit dtype, else 4), and what former batches taught about the sizes to come.
struct monosem_sae_plan {
  explicit monosem_sae_plan(monosem_device& device, const monosem_sae_encoder& encoder_);

  monosem_sae_encoder encoder;
  bool split;  // the weights have a low plane
  monosem::cuda::Scratch<uint16_t> high, low;
  monosem::cuda::Scratch<float> scale;

  /// Room for active features per token; grows when a batch needs more.
  int64_t capacity = 256;
  /// Top k: a share of |x| that the k-th largest pre-activation rarely falls below; unknown: < 0.
  float floor = -1.0f;
};
