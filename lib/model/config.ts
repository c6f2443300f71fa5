import type { DType } from '../native.js';
import type { Activation, NormOptions } from '../ops.js';
import type { Processing } from './processing.js';
import type { RotaryConfig } from './rotary.js';

/** What differs between the blocks of one model. */
export interface LayerConfig {
  /** Keys a query sees, itself included; 0: all before it. */
  readonly window: number;
  /** What scores are multiplied with. */
  readonly attnScale: number;
  /** The layer's rotation; absent with learned positions. */
  readonly rotary?: RotaryConfig;
}

/**
 * A model as its equations need it, whatever family its config.json comes from. There is one forward
 * (lib/model/forward.ts); a family is a way of filling this in and of naming weights.
 */
export interface ModelConfig {
  readonly modelName: string;
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** Whose names the modules have: a key of lib/model/families/index.ts. */
  readonly family: string;
  readonly nLayers: number;
  readonly dModel: number;
  readonly nHeads: number;
  readonly nKeyValueHeads: number;
  readonly dHead: number;
  readonly dMlp: number;
  readonly dVocab: number;
  readonly nCtx: number;
  readonly dtype: DType;

  readonly norm: NormOptions;
  /** Norms on what attention and the MLP return, before it is added (Gemma 2 and 3). */
  readonly postNorms: boolean;
  /** RMSNorm of each query and key head before the rotation (Qwen 3, Gemma 3). */
  readonly qkNorm: boolean;
  /** resid_post = resid_pre + attn(ln1(resid_pre)) + mlp(ln2(resid_pre)) (GPT-NeoX). */
  readonly parallel: boolean;
  readonly positions: 'learned' | 'rotary';
  readonly layers: readonly LayerConfig[];
  /** cap * tanh(score / cap); 0: none. */
  readonly attnSoftcap: number;
  /** The same on the logits. */
  readonly finalSoftcap: number;
  readonly activation: Activation;
  /** post = act(x W_gate) * (x W_in), else act(x W_in). */
  readonly gated: boolean;
  /** Embeddings are multiplied with sqrt(d_model), rounded to the weights' dtype (Gemma). */
  readonly embedScaled: boolean;
  readonly tiedEmbeddings: boolean;
  readonly experts?: ExpertsConfig;

  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId?: number;
  /** Whether text gets a BOS token unless told otherwise (TransformerLens: no for Qwen). */
  readonly defaultPrependBos: boolean;
  /** How the weights were changed at loading. */
  readonly processing: Processing;
}

/** A mixture of experts in place of each MLP. */
export interface ExpertsConfig {
  readonly count: number;
  /** Experts per token. */
  readonly active: number;
  readonly normalizeWeights: boolean;
}
