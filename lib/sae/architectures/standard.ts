import type { Tensor } from '../../tensor.js';
import type { SAEConfig } from '../config.js';
import type { Architecture, Weights } from './architecture.js';
import { float32, LinearEncoder } from './linear_encoder.js';

/** Parameters of an SAE with one linear encoder and one linear decoder. */
export function linearParameters({ dIn, dSae }: SAEConfig) {
  return { W_enc: [dIn, dSae], b_enc: [dSae], W_dec: [dSae, dIn], b_dec: [dIn] };
}

/**
 * An input to expect: b_dec, where it is not subtracted already (it is the mean activation that
 * training left to the decoder). A transcoder's b_dec lives at its output.
 */
export function expectedInput(cfg: SAEConfig, { b_dec }: Weights): Tensor | undefined {
  return cfg.applyBDecToInput || cfg.dOut !== undefined ? undefined : float32(b_dec as Tensor);
}

/** f = relu(x @ W_enc + b_enc) */
export const standard: Architecture = {
  isTranscoder: false,
  fields: [],
  parameters: linearParameters,
  hasPreActivations: true,
  addsDecoderBias: () => true,
  foldedParameters: () => ['b_enc'],
  encoder(cfg, weights) {
    const b_enc = float32(weights.b_enc as Tensor);
    return new LinearEncoder(
      weights.W_enc as Tensor,
      { gateBias: b_enc, bias: b_enc, center: expectedInput(cfg, weights) },
      { preActivations: (linear) => linear(b_enc), activate: (pre) => pre.relu() },
    );
  },
};
