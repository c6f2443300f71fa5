import type { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';
import { Frame } from './frame.js';
import {
  isExperts,
  type MlpWeights,
  type ModelWeights,
  type NormWeights,
  type QkvWeights,
  tensorsOf,
} from './weights.js';

/** TransformerLens' changes to weights that leave what the model predicts as it is. */
export interface ProcessingOptions {
  /** Weights of ln1, ln2 and ln_final move into what reads them; LayerNorm's readers are centred. */
  foldLn?: boolean;
  /** What writes to the residual loses its mean over d_model. Only where LayerNorm ignores it. */
  centerWritingWeights?: boolean;
  /** W_U loses its mean over the vocabulary: logits shift by a constant. Not under a final softcap. */
  centerUnembed?: boolean;
}

/** TransformerLens' defaults of `from_pretrained`. */
export const PROCESSED: Processing = {
  foldLn: true,
  centerWritingWeights: true,
  centerUnembed: true,
};

/** What was done: an option that does not apply to the model is false. */
export type Processing = Readonly<Required<ProcessingOptions>>;

/**
 * The weights processed in TransformerLens' order: fold_ln, center_writing_weights, center_unembed.
 * Takes over the weights it is given: tensors that were replaced are freed.
 */
export function processWeights(
  weights: ModelWeights,
  cfg: ModelConfig,
  options: ProcessingOptions,
): { weights: ModelWeights; done: Processing } {
  const isLayerNorm = cfg.norm.kind === 'layer';
  const done = {
    foldLn: options.foldLn === true,
    centerWritingWeights: options.centerWritingWeights === true && isLayerNorm,
    centerUnembed: options.centerUnembed === true && cfg.finalSoftcap === 0,
  };
  const steps = [
    done.foldLn && ((before: ModelWeights) => foldLn(before, cfg)),
    done.centerWritingWeights && centerWriting,
    done.centerUnembed && centerUnembed,
  ].filter((step) => step !== false);
  const processed = steps.reduce((before, step) => {
    const after = step(before);
    const kept = new Set(tensorsOf(after));
    for (const tensor of tensorsOf(before)) if (!kept.has(tensor)) tensor.dispose();
    return after;
  }, weights);
  return { weights: processed, done };
}

interface Reader {
  readonly W: Tensor;
  readonly b?: Tensor | undefined;
}

/** W <- w * W by rows (d_model), b <- b + b_ln W, then for LayerNorm W minus its mean over d_model. */
function fold(reader: Reader, norm: NormWeights, cfg: ModelConfig): { W: Tensor; b?: Tensor } {
  using frame = new Frame();
  const { W, b } = reader;
  let folded = W;
  if (norm.w !== undefined) {
    const gain = frame.own(norm.w.add(cfg.norm.weightOffset));
    const column = frame.own(gain.reshape([-1, 1]));
    folded = frame.own(frame.own(W.mul(column)).to({ dtype: cfg.dtype }));
  }
  let bias = b;
  if (norm.b !== undefined) {
    const shift = frame.own(norm.b.reshape([1, -1]));
    const moved = frame.own(
      frame.own(frame.own(shift.matmul(W)).reshape([-1])).to({ dtype: 'float32' }),
    );
    bias = b === undefined ? moved : frame.own(moved.add(b));
  }
  if (cfg.norm.kind === 'layer') folded = frame.own(minusMean(folded, 0));
  frame.release(folded);
  if (bias === undefined) return { W: folded };
  return { W: folded, b: frame.release(bias) };
}

function foldLn(weights: ModelWeights, cfg: ModelConfig): ModelWeights {
  const foldQkv = (qkv: QkvWeights, norm: NormWeights): QkvWeights =>
    qkv.layout === 'separate'
      ? {
          layout: 'separate',
          q: fold(qkv.q, norm, cfg),
          k: fold(qkv.k, norm, cfg),
          v: fold(qkv.v, norm, cfg),
        }
      : { layout: qkv.layout, fused: fold(qkv.fused, norm, cfg) };
  const foldMlp = (mlp: MlpWeights, norm: NormWeights): MlpWeights => {
    const up = fold({ W: mlp.W_in, b: mlp.b_in }, norm, cfg);
    const gate = mlp.W_gate && fold({ W: mlp.W_gate, b: mlp.b_gate }, norm, cfg);
    return {
      ...mlp,
      W_in: up.W,
      ...(up.b && { b_in: up.b }),
      ...(gate && { W_gate: gate.W, ...(gate.b && { b_gate: gate.b }) }),
    };
  };
  const head = fold({ W: weights.W_U, b: weights.b_U }, weights.lnFinal, cfg);
  return {
    ...weights,
    blocks: weights.blocks.map((block) => ({
      ...block,
      ln1: {},
      ln2: {},
      attn: { ...block.attn, qkv: foldQkv(block.attn.qkv, block.ln1) },
      mlp: isExperts(block.mlp)
        ? {
            router: fold({ W: block.mlp.router }, block.ln2, cfg).W,
            experts: block.mlp.experts.map((expert) => foldMlp(expert, block.ln2)),
          }
        : foldMlp(block.mlp, block.ln2),
    })),
    lnFinal: {},
    W_U: head.W,
    ...(head.b && { b_U: head.b }),
  };
}

/** W_E, W_pos, W_O, b_O, W_out, b_out minus their mean over d_model. An untied W_U keeps its own. */
function centerWriting(weights: ModelWeights): ModelWeights {
  const last = (tensor: Tensor) => minusMean(tensor, -1);
  const centerMlp = (mlp: MlpWeights): MlpWeights => ({
    ...mlp,
    W_out: last(mlp.W_out),
    ...(mlp.b_out && { b_out: last(mlp.b_out) }),
  });
  return {
    ...weights,
    W_E: last(weights.W_E),
    ...(weights.W_pos && { W_pos: last(weights.W_pos) }),
    blocks: weights.blocks.map((block) => ({
      ...block,
      attn: {
        ...block.attn,
        W_O: last(block.attn.W_O),
        ...(block.attn.b_O && { b_O: last(block.attn.b_O) }),
      },
      mlp: isExperts(block.mlp)
        ? { ...block.mlp, experts: block.mlp.experts.map(centerMlp) }
        : centerMlp(block.mlp),
    })),
  };
}

function centerUnembed(weights: ModelWeights): ModelWeights {
  const { W_U, b_U } = weights;
  return { ...weights, W_U: minusMean(W_U, 1), ...(b_U && { b_U: minusMean(b_U, 0) }) };
}

/** The tensor minus its mean over one dimension, in its own dtype. */
function minusMean(tensor: Tensor, dim: number): Tensor {
  using frame = new Frame();
  const at = dim < 0 ? dim + tensor.shape.length : dim;
  const wide = frame.own(tensor.to({ dtype: 'float32' }));
  const mean = frame.own(wide.mean(at));
  const kept = tensor.shape.map((length, i) => (i === at ? 1 : length));
  const centred = frame.own(wide.sub(frame.own(mean.reshape(kept))));
  return tensor.dtype === 'float32'
    ? frame.release(centred)
    : centred.to({ dtype: tensor.dtype as never });
}
