import { scope } from '../../scope.js';
import type { Tensor } from '../../tensor.js';
import type { Architecture } from './architecture.js';
import { float32, LinearEncoder } from './linear_encoder.js';
import { expectedInput, linearParameters } from './standard.js';

/**
 * pre = x @ W_enc + b_enc, f = relu(pre) * (pre > threshold) (Rajamanoharan et al. 2024,
 * arXiv 2407.14435). Strictly greater; because of the relu a negative threshold acts like 0. BatchTopK
 * and Matryoshka SAEs are saved in this form.
 */
export const jumprelu: Architecture = {
  isTranscoder: false,
  fields: [],
  parameters: (cfg) => ({ ...linearParameters(cfg), threshold: [cfg.dSae] }),
  hasPreActivations: true,
  addsDecoderBias: () => true,
  foldedParameters: () => ['b_enc', 'threshold'],
  encoder(cfg, weights) {
    const b_enc = float32(weights.b_enc as Tensor);
    const theta = scope(() => float32(weights.threshold as Tensor).relu());
    return new LinearEncoder(
      weights.W_enc as Tensor,
      { gateBias: b_enc, theta, bias: b_enc, center: expectedInput(cfg, weights) },
      {
        preActivations: (linear) => linear(b_enc),
        activate: (pre) => pre.relu().mul(pre.gt(theta)),
      },
    );
  },
};
