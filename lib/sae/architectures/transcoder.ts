import type { Field, SAEConfig } from '../config.js';
import type { Architecture } from './architecture.js';

/** cfg.json's d_out; a missing one means 768, as in SAELens. */
const D_OUT: Field = { json: 'd_out', name: 'dOut', type: 'dimension', fallback: 768 };

/**
 * The same encoder, reading one activation of a model and writing another one of width d_out:
 * out = f @ W_dec + b_dec, without undoing the input's normalisation (Dunefsky et al. 2024,
 * arXiv 2406.11944).
 */
export function transcoder(base: Architecture): Architecture {
  return {
    ...base,
    isTranscoder: true,
    fields: [...base.fields, D_OUT],
    parameters: (cfg) => ({
      ...base.parameters(cfg),
      W_dec: [cfg.dSae, cfg.dOut as number],
      b_dec: [cfg.dOut as number],
    }),
  };
}

/** A transcoder beside a linear map of its raw input: forward adds x @ W_skip^T (Paulo et al. 2025, arXiv 2501.18823). */
export function skipTranscoder(base: Architecture): Architecture {
  const inner = transcoder(base);
  return {
    ...inner,
    parameters: (cfg: SAEConfig) => ({
      ...inner.parameters(cfg),
      W_skip: [cfg.dOut as number, cfg.dIn],
    }),
  };
}
