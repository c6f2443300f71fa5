import { MonosemError } from '../error.js';
import { ActivationCache } from '../hooks/activation_cache.js';
import * as ops from '../ops.js';
import { Tensor } from '../tensor.js';
import type { ModelEngine } from './engine.js';
import { Frame } from './frame.js';

/** Components [component, batch, pos, d_model] and what each is called. */
export interface ResidualStack {
  readonly stack: Tensor;
  readonly labels: readonly string[];
}

export interface StackOptions {
  /** Divides by the scale of the norm that reads the target layer, centred first for LayerNorm. */
  applyLn?: boolean;
  /** The target is what the layer's MLP reads rather than its attention. */
  mlpInput?: boolean;
}

/** A token for every place, one per row of the batch, or one per place. */
export type TokenChoice = number | readonly number[] | readonly (readonly number[])[];

/**
 * The cache of a model's run, with TransformerLens' decompositions of the residual stream. They read
 * what the run cached: a filter must have let the points through. A layer left out is the final
 * residual. Norm weights count only where they are folded into what follows (`fromPretrained`).
 */
export class ModelCache extends ActivationCache {
  readonly #engine: ModelEngine;

  /** @internal */
  constructor(engine: ModelEngine) {
    super((name) => engine.hooks.find(name), engine.model.cfg.nLayers);
    this.#engine = engine;
  }

  /**
   * The residual as it grows up to a layer: "0_pre", "0_mid" (with `inclMid`), "1_pre", ..., "final_post".
   * With `applyLn` and the final residual, ln_final itself is applied to each, weights included: the
   * logit lens.
   */
  accumulatedResid(
    layer?: number | null,
    options: StackOptions & { inclMid?: boolean } = {},
  ): ResidualStack {
    const { nLayers } = this.#engine.model.cfg;
    const target = this.#target(layer);
    const parts: Tensor[] = [];
    const labels: string[] = [];
    for (let l = 0; l <= target && l < nLayers; l++) {
      parts.push(this.get('resid_pre', l));
      labels.push(`${l}_pre`);
      if ((options.inclMid && l < target) || (options.mlpInput && l === target)) {
        parts.push(this.get('resid_mid', l));
        labels.push(`${l}_mid`);
      }
    }
    if (target === nLayers) {
      parts.push(this.get('resid_post', nLayers - 1));
      labels.push('final_post');
    }
    const stack = stacked(parts);
    if (options.applyLn !== true) return { stack, labels };
    using raw = stack;
    if (target < nLayers) return { stack: this.applyLnToStack(raw, target, options), labels };
    const { weights, cfg } = this.#engine.model;
    return { stack: ops.norm(raw, weights.lnFinal.w, weights.lnFinal.b, cfg.norm), labels };
  }

  /**
   * What each part added: "embed", "pos_embed", "0_attn_out", "0_mlp_out", ...; their sum is the
   * residual at the layer.
   */
  decomposeResid(
    layer?: number | null,
    options: StackOptions & { mode?: 'all' | 'mlp' | 'attn'; inclEmbeds?: boolean } = {},
  ): ResidualStack {
    const { mode = 'all', inclEmbeds = true, mlpInput = false } = options;
    const target = this.#target(layer);
    const parts: Tensor[] = [];
    const labels: string[] = [];
    const take = (label: string, part: Tensor) => {
      parts.push(part);
      labels.push(label);
    };
    if (inclEmbeds) {
      take('embed', this.get('hook_embed'));
      if (this.#engine.model.weights.W_pos !== undefined) {
        take('pos_embed', this.get('hook_pos_embed'));
      }
    }
    for (let l = 0; l < target; l++) {
      if (mode !== 'mlp') take(`${l}_attn_out`, this.get('attn_out', l));
      if (mode !== 'attn') take(`${l}_mlp_out`, this.get('mlp_out', l));
    }
    if (mlpInput && mode !== 'mlp') take(`${target}_attn_out`, this.get('attn_out', target));
    return { stack: this.#finish(stacked(parts), target, options), labels };
  }

  /**
   * What each head before the layer added: "L0H0", "L0H1", ...; with `inclRemainder` also everything
   * else. In models with a norm after attention (Gemma 2 and 3) heads do not add up to the residual.
   */
  stackHeadResults(
    layer?: number | null,
    options: Pick<StackOptions, 'applyLn'> & { inclRemainder?: boolean } = {},
  ): ResidualStack {
    const { nHeads, nLayers } = this.#engine.model.cfg;
    const target = this.#target(layer);
    using frame = new Frame();
    const parts: Tensor[] = [];
    const labels: string[] = [];
    for (let l = 0; l < target; l++) {
      const result = this.#headResult(l, frame);
      for (let head = 0; head < nHeads; head++) {
        parts.push(frame.own(result.slice(null, null, head)));
        labels.push(`L${l}H${head}`);
      }
    }
    if (options.inclRemainder) {
      const whole =
        target === nLayers ? this.get('resid_post', nLayers - 1) : this.get('resid_pre', target);
      const heads = parts.length === 0 ? undefined : frame.own(frame.own(stacked(parts)).sum(0));
      parts.push(heads === undefined ? whole : frame.own(whole.sub(heads)));
      labels.push('remainder');
    }
    return { stack: this.#finish(stacked(parts), target, options), labels };
  }

  /** Divides by the cached scale of the norm that reads the layer; LayerNorm takes off the mean first. */
  applyLnToStack(
    stack: Tensor,
    layer?: number | null,
    options: Pick<StackOptions, 'mlpInput'> = {},
  ): Tensor {
    const { cfg } = this.#engine.model;
    const target = this.#target(layer);
    using frame = new Frame();
    const scale =
      target === cfg.nLayers
        ? this.get('ln_final.hook_scale')
        : this.get('scale', target, options.mlpInput ? 'ln2' : 'ln1');
    if (cfg.norm.kind === 'rms') return stack.div(scale);
    const mean = frame.own(frame.own(stack.mean(-1)).reshape([...stack.shape.slice(0, -1), 1]));
    return frame.own(stack.sub(mean)).div(scale);
  }

  /**
   * What each component of a stack (norm applied) adds to the logit of a token, or to its difference
   * to another: [component, batch, pos].
   */
  logitAttrs(
    stack: Tensor | ResidualStack,
    tokens: TokenChoice,
    options: { incorrectTokens?: TokenChoice } = {},
  ): Tensor {
    using frame = new Frame();
    const components = stack instanceof Tensor ? stack : stack.stack;
    let direction = this.#unembedding(tokens, frame);
    if (options.incorrectTokens !== undefined) {
      direction = frame.own(direction.sub(this.#unembedding(options.incorrectTokens, frame)));
    }
    return frame.own(components.mul(direction)).sum(-1);
  }

  /** Columns of W_U: [d_model], [batch, 1, d_model] or [batch, pos, d_model]. */
  #unembedding(tokens: TokenChoice, frame: Frame): Tensor {
    const { weights, cfg } = this.#engine.model;
    const ids = typeof tokens === 'number' ? [tokens] : tokens.flat();
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= cfg.dVocab);
    if (wrong !== undefined) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `token ${wrong} is not in the vocabulary of ${cfg.dVocab} tokens`,
      );
    }
    const isByPlace = typeof tokens !== 'number' && Array.isArray(tokens[0]);
    const batch = typeof tokens === 'number' ? 1 : tokens.length;
    const shape = isByPlace ? [batch, ids.length / batch] : [batch, 1];
    const { device } = this.#engine;
    const rows = frame.own(Tensor.from(Int32Array.from(ids), shape, { device }));
    const table = frame.own(weights.W_U.transpose(0, 1));
    return frame.own(ops.gatherRows(table, rows));
  }

  #headResult(layer: number, frame: Frame): Tensor {
    const name = `blocks.${layer}.attn.hook_result`;
    if (this.has(name)) return this.get(name);
    const { cfg, weights } = this.#engine.model;
    const z = this.get('z', layer);
    const [batch, length] = z.shape as [number, number];
    const { W_O } = (weights.blocks[layer] as (typeof weights.blocks)[number]).attn;
    const byHead = frame.own(W_O.reshape([cfg.nHeads, cfg.dHead, cfg.dModel]));
    const rows = frame.own(frame.own(z.reshape([-1, cfg.nHeads, cfg.dHead])).transpose(0, 1));
    const product = frame.own(frame.own(rows.matmul(byHead)).transpose(0, 1));
    return frame.own(product.reshape([batch, length, cfg.nHeads, cfg.dModel]));
  }

  #finish(stack: Tensor, target: number, options: StackOptions): Tensor {
    if (options.applyLn !== true) return stack;
    using raw = stack;
    return this.applyLnToStack(raw, target, options);
  }

  /** n_layers stands for the final residual. */
  #target(layer: number | null | undefined): number {
    const { nLayers } = this.#engine.model.cfg;
    const target = layer === undefined || layer === null || layer === -1 ? nLayers : layer;
    if (Number.isInteger(target) && target >= 0 && target <= nLayers) return target;
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `expected a layer from 0 to ${nLayers}, or none for the final residual, got ${layer}`,
    );
  }
}

/** Tensors of one shape, one behind another along a new first dimension. */
function stacked(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  if (first === undefined) {
    throw new MonosemError('ERR_INVALID_ARGUMENT', 'there is nothing before layer 0 to stack');
  }
  const stack = ops.zerosOf(first, [parts.length, ...first.shape]);
  parts.forEach((part, i) => {
    using row = stack.at(i);
    row.copyFrom(part);
  });
  return stack;
}
