import { type Device, resolveDevice } from '../device.js';
import { MonosemError } from '../error.js';
import type { DType } from '../native.js';
import type { Tensor } from '../tensor.js';
import type { Architecture, Weights } from './architectures/architecture.js';
import { type Json, parseConfig, type SAEConfig } from './config.js';
import { SaeEngine } from './engine.js';
import { foldDecoderNorms, foldInputScale } from './folding.js';
import { saveSae } from './save.js';
import type { Precision } from './splice.js';
import { disposeWeights } from './weights.js';

/** An SAE as a loader read it. */
export interface LoadedSae {
  /** In SAELens 6's form (`migrateConfig`). */
  readonly cfgDict: Json;
  /** Under SAELens' names. */
  readonly weights: Weights;
  /** cfg.json as it was read, where there was one. */
  readonly raw?: Json;
}

export interface SaeOptions {
  device?: Device | undefined;
  /** Of weights and results; cfg.json's when not given. Arithmetic is float32. */
  dtype?: DType | undefined;
  precision?: Precision | undefined;
}

/** What an SAE is, configuration and parameters on a device, and what changes that: conversion and folding. */
export class SaeState implements Disposable {
  #engine: SaeEngine | undefined;
  /** Metadata under the names files use. */
  readonly #metadata: Json;
  readonly #precision: Precision;

  /** @internal Takes ownership of the weights. Throws ERR_FORMAT, ERR_SHAPE or ERR_DTYPE when they are not the architecture's. */
  constructor(loaded: LoadedSae, options: SaeOptions = {}) {
    const { cfgDict, weights, raw = cfgDict } = loaded;
    const device = resolveDevice(options.device) as Device;
    const dtype = options.dtype === undefined ? {} : { dtype: options.dtype };
    const cfg = { ...parseConfig({ ...cfgDict, ...dtype }, raw), device };
    this.#metadata = (cfgDict.metadata ?? {}) as Json;
    this.#precision = options.precision ?? 'strict';
    this.#engine = new SaeEngine(cfg, weights);
    disposeWeights(weights);
  }

  /** @internal The steps of its forward, for who attaches it. */
  get engine(): SaeEngine {
    if (this.#engine === undefined) {
      throw new MonosemError('ERR_DISPOSED', 'this SAE was disposed; load it again');
    }
    return this.#engine;
  }

  get cfg(): SAEConfig {
    return this.engine.cfg;
  }
  get device(): Device {
    return this.engine.cfg.device;
  }
  get dtype(): DType {
    return this.engine.cfg.dtype;
  }
  /** @internal */
  get precision(): Precision {
    return this.#precision;
  }

  /**
   * [d_in, d_sae]; W_dec's transpose where the architecture has no encoder of its own. As with every
   * weight, edits in place count from the next call on; the forms that `encode` works with are made anew.
   */
  get W_enc(): Tensor {
    return this.engine.W_enc;
  }
  /** [d_sae, d_in], transcoders [d_sae, d_out] */
  get W_dec(): Tensor {
    return this.engine.weights.W_dec as Tensor;
  }
  /** [d_in], transcoders [d_out] */
  get b_dec(): Tensor {
    return this.engine.weights.b_dec as Tensor;
  }
  /** [d_sae], where the architecture has one */
  get b_enc(): Tensor | undefined {
    return this.engine.weights.b_enc;
  }
  /** [d_sae], jumprelu */
  get threshold(): Tensor | undefined {
    return this.engine.weights.threshold;
  }
  /** [d_out, d_in], skip transcoders */
  get W_skip(): Tensor | undefined {
    return this.engine.weights.W_skip;
  }

  /** Moves and converts in place. */
  to(options: { device?: Device; dtype?: DType }): this {
    const { cfg, weights } = this.engine;
    const device =
      options.device === undefined ? cfg.device : (resolveDevice(options.device) as Device);
    this.#replace({ ...cfg, device, dtype: options.dtype ?? cfg.dtype }, weights);
    return this;
  }

  /**
   * Gives every decoder row norm 1; feature activations grow by the norms, reconstructions stay.
   * Throws ERR_UNSUPPORTED where that would change which features are on (topk without decoder-norm
   * rescaling, temporal, matching pursuit).
   */
  foldWDecNorm(): void {
    const { cfg, weights } = this.engine;
    const parameters = this.#foldable().foldedParameters(cfg);
    this.#exchange(cfg, foldDecoderNorms(weights, parameters));
  }

  /** Folds the scale that inputs were trained at (expected_average_only_in) into the weights. */
  foldActivationNormScalingFactor(factor: number): void {
    const { cfg, weights } = this.engine;
    if (!Number.isFinite(factor) || factor === 0) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `expected a finite scaling factor other than 0, got ${factor}`,
      );
    }
    this.#foldable();
    this.#exchange({ ...cfg, normalizeActivations: 'none' }, foldInputScale(weights, factor));
  }

  /** Writes cfg.json and sae_weights.safetensors, which SAELens 6 reads, into a folder made when missing. */
  async saveModel(path: string): Promise<{ weightsPath: string; cfgPath: string }> {
    using _ = this.engine.hold();
    return await saveSae(this.engine, this.#metadata, path);
  }

  /** Frees weights and prepared forms once what is under way is done with them. Safe to repeat. */
  dispose(): void {
    this.#engine?.dispose();
    this.#engine = undefined;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #foldable(): Required<Architecture> {
    const { cfg, architecture } = this.engine;
    if (architecture.foldedParameters !== undefined) return architecture as Required<Architecture>;
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      `a ${cfg.architecture} SAE has no linear encoder to fold anything into`,
    );
  }

  #exchange(cfg: SAEConfig, changed: Weights): void {
    this.#replace(cfg, { ...this.engine.weights, ...changed });
    disposeWeights(changed);
  }

  #replace(cfg: SAEConfig, weights: Weights): void {
    const before = this.engine;
    this.#engine = new SaeEngine(cfg, weights);
    before.dispose();
  }
}
