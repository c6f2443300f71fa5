import { scope } from '../../scope.js';
import type { Tensor } from '../../tensor.js';
import type { Architecture } from './architecture.js';
import { float32, LinearEncoder } from './linear_encoder.js';
import { expectedInput } from './standard.js';

/**
 * gate = x @ W_enc + b_gate, mag = (x @ W_enc) * exp(r_mag) + b_mag, f = (gate > 0) * relu(mag)
 * (Rajamanoharan et al. 2024, arXiv 2404.16014). One matrix product, two affine maps of it; mag is what
 * hook_sae_acts_pre shows.
 */
export const gated: Architecture = {
  isTranscoder: false,
  fields: [],
  parameters: ({ dIn, dSae }) => ({
    W_enc: [dIn, dSae],
    b_gate: [dSae],
    r_mag: [dSae],
    b_mag: [dSae],
    W_dec: [dSae, dIn],
    b_dec: [dIn],
  }),
  hasPreActivations: true,
  addsDecoderBias: () => true,
  foldedParameters: () => ['b_gate', 'b_mag'],
  encoder(cfg, weights) {
    const b_gate = float32(weights.b_gate as Tensor);
    const b_mag = float32(weights.b_mag as Tensor);
    const scale = scope(() => float32(weights.r_mag as Tensor).exp());
    return new LinearEncoder(
      weights.W_enc as Tensor,
      { gateBias: b_gate, scale, bias: b_mag, center: expectedInput(cfg, weights) },
      {
        preActivations: (linear) => linear().mul(scale).add(b_mag),
        activate: (pre, linear) => pre.relu().mul(linear(b_gate).gt(0)),
      },
    );
  },
};
