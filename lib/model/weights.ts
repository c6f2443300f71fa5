import { MonosemError } from '../error.js';
import { alias } from '../ops.js';
import { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';

/**
 * A model's weights as its forward wants them: x @ W throughout, [in, out]. Hugging Face's Linear
 * weights [out, in] are transposed views of the mapped file; nothing is copied unless the dtype differs.
 */
export interface ModelWeights {
  /** [d_vocab, d_model]. */
  readonly W_E: Tensor;
  /** [n_ctx, d_model], learned positions. */
  readonly W_pos?: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly lnFinal: NormWeights;
  /** [d_model, d_vocab]; a view of W_E when tied. */
  readonly W_U: Tensor;
  /** [d_vocab]. */
  readonly b_U?: Tensor;
}

export interface NormWeights {
  /** [d]; absent: 1 (folded into what follows). */
  readonly w?: Tensor;
  readonly b?: Tensor;
}

export interface BlockWeights {
  readonly ln1: NormWeights;
  readonly ln1Post?: NormWeights;
  readonly ln2: NormWeights;
  readonly ln2Post?: NormWeights;
  readonly attn: AttentionWeights;
  readonly mlp: MlpWeights | ExpertsWeights;
}

export interface Projection {
  readonly W: Tensor;
  readonly b?: Tensor;
}

export interface AttentionWeights {
  readonly qkv: QkvWeights;
  /** [n_heads * d_head, d_model], heads major. */
  readonly W_O: Tensor;
  readonly b_O?: Tensor;
  readonly qNorm?: NormWeights;
  readonly kNorm?: NormWeights;
}

/**
 * Either three projections, or one product whose columns hold all three: q, k, v in turn ("qkv,head",
 * GPT-2) or q, k, v of each head in turn ("head,qkv", GPT-NeoX).
 */
export type QkvWeights =
  | {
      readonly layout: 'separate';
      readonly q: Projection;
      readonly k: Projection;
      readonly v: Projection;
    }
  | { readonly layout: 'qkv,head' | 'head,qkv'; readonly fused: Projection };

export interface MlpWeights {
  readonly W_in: Tensor;
  readonly b_in?: Tensor;
  readonly W_gate?: Tensor;
  readonly b_gate?: Tensor;
  readonly W_out: Tensor;
  readonly b_out?: Tensor;
}

export interface ExpertsWeights {
  /** [d_model, experts]. */
  readonly router: Tensor;
  readonly experts: readonly MlpWeights[];
}

export function isExperts(mlp: MlpWeights | ExpertsWeights): mlp is ExpertsWeights {
  return 'experts' in mlp;
}

/** Which of q, k and v a slice of the product is. */
const part = { q: 0, k: 1, v: 2 } as const;
export type QkvPart = keyof typeof part;

/** One part of a fused product [..., 3 * n * d_head] as [..., n, d_head], a view. */
export function splitFused(
  product: Tensor,
  qkv: QkvWeights,
  which: QkvPart,
  { nHeads, dHead }: ModelConfig,
): Tensor {
  const lead = product.shape.slice(0, -1);
  const keep = lead.map(() => null);
  const isByPart = qkv.layout === 'qkv,head';
  const inner = isByPart ? [3, nHeads, dHead] : [nHeads, 3, dHead];
  using split = product.reshape([...lead, ...inner]);
  return split.slice(...keep, ...(isByPart ? [] : [null]), part[which]);
}

/** TransformerLens' W_Q, W_K, W_V: [heads, d_model, d_head], a view. */
export function headWeights(attn: AttentionWeights, which: QkvPart, cfg: ModelConfig): Tensor {
  const { qkv } = attn;
  using byHead =
    qkv.layout === 'separate'
      ? qkv[which].W.reshape([cfg.dModel, -1, cfg.dHead])
      : splitFused(qkv.fused.W, qkv, which, cfg);
  return byHead.transpose(0, 1);
}

/** TransformerLens' b_Q, b_K, b_V: [heads, d_head], a view; undefined when the model has none. */
export function headBias(
  attn: AttentionWeights,
  which: QkvPart,
  cfg: ModelConfig,
): Tensor | undefined {
  const { qkv } = attn;
  if (qkv.layout === 'separate') return qkv[which].b?.reshape([-1, cfg.dHead]);
  return qkv.fused.b && splitFused(qkv.fused.b, qkv, which, cfg);
}

/** ERR_FORMAT unless a weight has the shape its configuration asks for. */
export function checkShape(
  name: string,
  shape: readonly number[],
  expected: readonly number[],
): void {
  if (shape.length !== expected.length || shape.some((n, i) => n !== expected[i])) {
    throw new MonosemError(
      'ERR_FORMAT',
      `weight '${name}': config.json asks for [${expected}], the file holds [${shape}]`,
    );
  }
}

/** Every tensor of a model's weights. */
export function* tensorsOf(weights: object): Generator<Tensor> {
  for (const value of Object.values(weights)) {
    if (value instanceof Tensor) yield value;
    else if (value !== null && typeof value === 'object') yield* tensorsOf(value);
  }
}

/** The same weights behind handles of their own: they live on when the originals are disposed. */
export function aliasWeights<T extends object>(weights: T): T {
  const copy = (value: unknown): unknown => {
    if (value instanceof Tensor) return alias(value);
    if (Array.isArray(value)) return value.map(copy);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)]));
  };
  return copy(weights) as T;
}
