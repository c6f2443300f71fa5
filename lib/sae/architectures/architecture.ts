import type { NativeActs, NativeCancel } from '../../native.js';
import type { Tensor } from '../../tensor.js';
import type { Field, SAEConfig } from '../config.js';

/** An SAE's parameters by name, all of one dtype on one device. */
export type Weights = Readonly<Record<string, Tensor>>;

/**
 * One architecture: what its files hold and its equations. Symbols are SAELens': x is the input after
 * normalisation and, where the configuration says so, minus b_dec; f are the feature activations.
 */
export interface Architecture {
  /** Reads one activation and writes another: no b_dec at the input, nothing denormalised at the output. */
  readonly isTranscoder: boolean;
  /** Its entries in cfg.json beside the common ones. */
  readonly fields: readonly Field[];
  /** Modes of normalize_activations that only it knows. */
  readonly normalizations?: readonly string[];
  /** What the weights file holds, no more and no less. */
  parameters(cfg: SAEConfig): Readonly<Record<string, readonly number[]>>;
  /** How f comes out of x. */
  encoder(cfg: SAEConfig, weights: Weights): Encoder;
  /** Whether the activations have a pre-activation to look at; matching pursuit's do not. */
  readonly hasPreActivations: boolean;
  /** Whether decode adds b_dec. */
  addsDecoderBias(cfg: SAEConfig): boolean;
  /**
   * Parameters beside W_enc that take up the decoder's norms when these are folded; throws when folding
   * would change which features are on. Absent: there is no linear encoder to fold anything into.
   */
  foldedParameters?(cfg: SAEConfig): readonly string[];
}

export interface EncodeOptions {
  /** Leading dimensions of the input; their product is its number of rows. */
  readonly leading: readonly number[];
  /** A PrecisionCode. */
  readonly precision: number;
  readonly cancel: NativeCancel | null;
  readonly signal?: AbortSignal | undefined;
}

/** Feature activations, and what an architecture reconstructs beside them. */
export interface Code {
  readonly acts: NativeActs;
  /** Added to the normalised reconstruction in a whole forward: temporal's prediction, [tokens, d_in]. */
  readonly predicted?: Tensor;
}

/** Pre-activations [tokens, d_sae], and what came out on the way to them. */
export interface PreActivations {
  readonly pre: Tensor;
  readonly predicted?: Tensor;
}

/** An architecture's encoder on a device. Inputs are x, float32 [tokens, d_in]. */
export interface Encoder {
  encode(x: Tensor, options: EncodeOptions): Code | Promise<Code>;
  /** What hook_sae_acts_pre shows. */
  preActivations(x: Tensor, leading: readonly number[]): PreActivations;
  /** f from pre-activations that a hook may have changed: dense [tokens, d_sae]. */
  activate(pre: Tensor, x: Tensor): Tensor;
  /** [d_sae], by which f is multiplied before it is decoded. */
  readonly decodeScale?: Tensor | undefined;
  /** What the last encode did. */
  stats(): Readonly<Record<string, number | string>>;
  dispose(): void;
}
