import { MonosemError } from '../../error.js';
import { native } from '../../native.js';
import { scope } from '../../scope.js';
import { Tensor } from '../../tensor.js';
import type { SAEConfig } from '../config.js';
import type {
  Architecture,
  Code,
  EncodeOptions,
  Encoder,
  PreActivations,
  Weights,
} from './architecture.js';
import { float32 } from './linear_encoder.js';
import { keepLargest } from './topk.js';

/**
 * Splits a sequence into what attention over the tokens before predicts and the novel rest (TemporalSAE,
 * Lubana et al. 2025, arXiv 2511.01836). Input is [batch, pos, d_in]; f is the novel part alone, and a
 * whole forward adds the prediction. It knows no tokens but those of its input: in generation over a
 * key-value cache, which shows a model one token at a time, there is nothing to predict from.
 */
export const temporal: Architecture = {
  isTranscoder: false,
  normalizations: ['constant_scalar_rescale'],
  fields: [
    { json: 'n_heads', name: 'nHeads', type: 'dimension', fallback: 8 },
    { json: 'n_attn_layers', name: 'nAttnLayers', type: 'dimension', fallback: 1 },
    { json: 'bottleneck_factor', name: 'bottleneckFactor', type: 'dimension', fallback: 64 },
    { json: 'sae_diff_type', name: 'saeDiffType', type: ['relu', 'topk'], fallback: 'topk' },
    { json: 'kval_topk', name: 'kvalTopk', type: 'dimension or null', fallback: null },
    { json: 'tied_weights', name: 'tiedWeights', type: 'boolean', fallback: true },
    {
      json: 'activation_normalization_factor',
      name: 'activationNormalizationFactor',
      type: 'number',
      fallback: 1,
    },
  ],
  parameters(cfg) {
    const { dIn, dSae } = cfg;
    const embedding = embeddingWidth(cfg);
    const layers = Array.from({ length: cfg.nAttnLayers as number }, (_, layer) => [
      ...linear(`attn_layers.${layer}.k_ctx`, embedding, dSae),
      ...linear(`attn_layers.${layer}.q_target`, embedding, dSae),
      ...linear(`attn_layers.${layer}.v_ctx`, dSae, dSae),
      ...linear(`attn_layers.${layer}.c_proj`, dSae, dSae),
    ]);
    return {
      W_dec: [dSae, dIn],
      b_dec: [dIn],
      ...(cfg.tiedWeights ? {} : { W_enc: [dIn, dSae] }),
      ...Object.fromEntries(layers.flat()),
    };
  },
  hasPreActivations: true,
  // SAELens 6.44.4 on
  addsDecoderBias: (cfg) => !cfg.tiedWeights || cfg.applyBDecToInput,
  encoder: (cfg, weights) => new TemporalEncoder(cfg, weights),
};

/** Keeps a division by a vanishing prediction finite. */
const EPSILON = 1e-6;

/** PyTorch's Linear: weight [out, in]. */
function linear(name: string, out: number, into: number): [string, number[]][] {
  return [
    [`${name}.weight`, [out, into]],
    [`${name}.bias`, [out]],
  ];
}

/** The width of queries and keys, all heads together. */
function embeddingWidth({ dSae, nHeads, bottleneckFactor }: SAEConfig): number {
  const divisor = (bottleneckFactor as number) * (nHeads as number);
  if (dSae % divisor === 0) return dSae / (bottleneckFactor as number);
  throw new MonosemError(
    'ERR_FORMAT',
    `cfg.json: d_sae (${dSae}) must be a multiple of bottleneck_factor * n_heads (${divisor})`,
  );
}

class TemporalEncoder implements Encoder {
  readonly #cfg: SAEConfig;
  readonly #weights: Weights;
  /** W_dec^T where the weights are tied. */
  readonly #E: Tensor;

  constructor(cfg: SAEConfig, weights: Weights) {
    this.#cfg = cfg;
    this.#weights = weights;
    this.#E = cfg.tiedWeights
      ? (weights.W_dec as Tensor).transpose(0, 1)
      : (weights.W_enc as Tensor).reshape([cfg.dIn, cfg.dSae]);
  }

  encode(x: Tensor, { leading }: EncodeOptions): Code {
    const { pre, predicted } = this.preActivations(x, leading);
    using dense = this.activate(pre);
    pre.dispose();
    return { acts: native.actsFromDense(dense.handle), predicted };
  }

  preActivations(x: Tensor, leading: readonly number[]): Required<PreActivations> {
    const { dIn, dSae, nAttnLayers } = this.#cfg;
    if (leading.length !== 2) {
      throw new MonosemError(
        'ERR_SHAPE',
        `a temporal SAE expects [batch, pos, ${dIn}], got [${[...leading, dIn]}]; its prediction reads the tokens before`,
      );
    }
    return scope(() => {
      let residual = x.reshape([...leading, dIn]);
      let predicted = Tensor.zeros(residual.shape, { device: x.device });
      for (let layer = 0; layer < (nAttnLayers as number); layer++) {
        const part = this.#prediction(residual, layer);
        predicted = predicted.add(part);
        residual = residual.sub(part);
      }
      return {
        pre: this.#project(residual).reshape([-1, dSae]),
        predicted: predicted.reshape([-1, dIn]),
      };
    });
  }

  activate(pre: Tensor): Tensor {
    const { saeDiffType, kvalTopk } = this.#cfg;
    return scope(() => {
      const rest = pre.relu();
      return saeDiffType === 'topk' && kvalTopk ? keepLargest(rest, kvalTopk) : rest;
    });
  }

  /** (lambda * residual) @ E with lambda = 1 / (4 d_in): [batch, pos, d_sae]. */
  #project(residual: Tensor): Tensor {
    return residual.mul(1 / (4 * this.#cfg.dIn)).matmul(this.#E);
  }

  /** The part of the residual that the tokens before predict, [batch, pos, d_in]: its projection on the prediction. */
  #prediction(residual: Tensor, layer: number): Tensor {
    const now = this.#project(residual).relu();
    const before = Tensor.zerosLike(now);
    before.slice(null, [1]).copyFrom(now.slice(null, [0, -1]));
    const code = this.#attend(now, before, layer).relu();
    const direction = code.matmul(this.#weights.W_dec as Tensor);
    const column = [...direction.shape.slice(0, -1), 1];
    const along = direction.mul(residual).sum(-1).reshape(column);
    const length = direction.norm(-1).add(EPSILON).pow(2).reshape(column);
    return direction.mul(along.div(length));
  }

  /** Causal attention, queries from this token, keys and values from the one before: [batch, pos, d_sae]. */
  #attend(now: Tensor, before: Tensor, layer: number): Tensor {
    const heads = this.#cfg.nHeads as number;
    const split = (t: Tensor) => t.reshape([...t.shape.slice(0, 2), heads, -1]);
    const q = split(this.#linear(now, `attn_layers.${layer}.q_target`));
    const k = split(this.#linear(before, `attn_layers.${layer}.k_ctx`));
    const v = split(this.#linear(before, `attn_layers.${layer}.v_ctx`));
    const scale = 1 / Math.sqrt(q.shape[3] as number);
    const scores = new Tensor(native.attentionScores(q.handle, k.handle, null, scale, 0, 0));
    const z = scores.softmax().matmul(v.transpose(1, 2)).transpose(1, 2);
    return this.#linear(z.reshape(now.shape), `attn_layers.${layer}.c_proj`);
  }

  #linear(x: Tensor, name: string): Tensor {
    const weight = (this.#weights[`${name}.weight`] as Tensor).transpose(0, 1);
    const bias = float32(this.#weights[`${name}.bias`] as Tensor);
    return new Tensor(native.linear(x.handle, weight.handle, bias.handle, -1));
  }

  stats(): Readonly<Record<string, number | string>> {
    return { path: 'temporal' };
  }

  dispose(): void {
    this.#E.dispose();
  }
}
