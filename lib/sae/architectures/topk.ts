import { MonosemError } from '../../error.js';
import { native } from '../../native.js';
import { scope } from '../../scope.js';
import { Tensor } from '../../tensor.js';
import type { Architecture } from './architecture.js';
import { decoderNorms, float32, LinearEncoder } from './linear_encoder.js';
import { expectedInput, linearParameters } from './standard.js';

/**
 * pre = x @ W_enc + b_enc; f keeps the k largest of pre, then relu: fewer than k where some of them are
 * negative (Gao et al. 2024, arXiv 2406.04093). Ties go to the lowest index.
 *
 * With rescale_acts_by_decoder_norm, selection and values are of pre * |W_dec row|, and decoding divides
 * by the norm again; hook_sae_acts_pre shows pre before that.
 */
export const topk: Architecture = {
  isTranscoder: false,
  fields: [
    { json: 'k', name: 'k', type: 'dimension', fallback: 100 },
    {
      json: 'rescale_acts_by_decoder_norm',
      name: 'rescaleActsByDecoderNorm',
      type: 'boolean',
      fallback: false,
    },
  ],
  parameters: linearParameters,
  hasPreActivations: true,
  addsDecoderBias: () => true,
  foldedParameters(cfg) {
    if (cfg.rescaleActsByDecoderNorm) return ['b_enc'];
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      'folding the decoder norms into a topk SAE without rescale_acts_by_decoder_norm would change which features are on',
    );
  },
  encoder(cfg, weights) {
    const b_enc = float32(weights.b_enc as Tensor);
    const k = cfg.k as number;
    const norms = cfg.rescaleActsByDecoderNorm ? decoderNorms(weights) : undefined;
    const center = expectedInput(cfg, weights);
    const bias = norms === undefined ? b_enc : b_enc.mul(norms);
    return new LinearEncoder(
      weights.W_enc as Tensor,
      { gateBias: bias, scale: norms, bias, k, center },
      {
        preActivations: (linear) => linear(b_enc),
        activate: (pre) => keepLargest(norms === undefined ? pre : pre.mul(norms), k),
      },
      norms && inverse(norms),
    );
  },
};

/** 1 / n */
function inverse(n: Tensor): Tensor {
  return scope(() => Tensor.ones(n.shape, { device: n.device }).div(n));
}

/** The k largest of each row, then relu; everything else 0. */
export function keepLargest(pre: Tensor, k: number): Tensor {
  const { values, indices } = pre.topk(k);
  const kept = Tensor.zerosLike(pre);
  native.scatterAddInto(kept.handle, indices.handle, values.relu().handle);
  return kept;
}
