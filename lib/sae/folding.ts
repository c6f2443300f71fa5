import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import type { Weights } from './architectures/architecture.js';
import { decoderNorms } from './architectures/linear_encoder.js';

/** Keeps the row of a dead feature finite (SAELens 6.22.3 on). */
const SMALLEST_NORM = 1e-8;

/**
 * Decoder rows of norm 1, the same reconstruction: W_dec / n, W_enc * n and the named parameters * n,
 * where n are the norms. Feature activations grow by n. Gives the parameters that changed.
 */
export function foldDecoderNorms(weights: Weights, parameters: readonly string[]): Weights {
  return scope(() => {
    // max(n, smallest), from a relu
    const norms = decoderNorms(weights).add(-SMALLEST_NORM).relu().add(SMALLEST_NORM);
    const { W_dec, W_enc } = weights as { W_dec: Tensor; W_enc: Tensor };
    return {
      W_dec: inDTypeOf(W_dec, W_dec.div(norms.reshape([-1, 1]))),
      W_enc: inDTypeOf(W_enc, W_enc.mul(norms)),
      ...Object.fromEntries(
        parameters.map((name) => {
          const parameter = weights[name] as Tensor;
          return [name, inDTypeOf(parameter, parameter.mul(norms))];
        }),
      ),
    };
  });
}

/** Reads inputs of another scale: W_enc * s, W_dec / s, b_dec / s. Gives the parameters that changed. */
export function foldInputScale(weights: Weights, factor: number): Weights {
  return scope(() => {
    const { W_dec, W_enc, b_dec } = weights as { W_dec: Tensor; W_enc: Tensor; b_dec: Tensor };
    return {
      W_enc: inDTypeOf(W_enc, W_enc.mul(factor)),
      W_dec: inDTypeOf(W_dec, W_dec.div(factor)),
      b_dec: inDTypeOf(b_dec, b_dec.div(factor)),
    };
  });
}

function inDTypeOf(like: Tensor, value: Tensor): Tensor {
  return value.dtype === like.dtype ? value : value.to({ dtype: like.dtype as 'float32' });
}
