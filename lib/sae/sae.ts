import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cancellable } from '../abort.js';
import { type Device, resolveDevice } from '../device.js';
import { MonosemError } from '../error.js';
import { ActivationCache } from '../hooks/activation_cache.js';
import { HookRegistry, type RunOptions } from '../hooks/hook_registry.js';
import { HookRun } from '../hooks/hook_run.js';
import type { FwdHook } from '../hooks/types.js';
import {
  fetchDecoderRow,
  type LoadedSae as LoadedFiles,
  loadFromFolder,
  loadPretrained,
  type SaeFileOptions,
} from '../loaders/index.js';
import { type DType, native } from '../native.js';
import type { Release } from '../registry/releases.js';
import { type Tensor, type TensorLike, toTensor } from '../tensor.js';
import type { Architecture, Weights } from './architectures/architecture.js';
import { architectureOf, type Json, parseConfig, type SAEConfig, writeConfig } from './config.js';
import { SaeEngine } from './engine.js';
import { FeatureActs } from './feature_acts.js';
import { foldDecoderNorms, foldInputScale } from './folding.js';
import { versionedMetadata } from './migrate.js';
import { firing, SAE_HOOKS, type SaeHook, whyNot } from './sae_hooks.js';
import { encode, type PassOptions, type Precision, runSae } from './splice.js';
import { checkWeights, convertWeights, disposeWeights } from './weights.js';

/** An SAE as a loader read it. */
export interface LoadedSae {
  /** In SAELens 6's form (`migrateConfig`). */
  readonly cfgDict: Json;
  /** Under SAELens' names. */
  readonly weights: Weights;
  /** cfg.json as it was read, where there was one. */
  readonly raw?: Json;
}

export interface SaeLoadOptions extends SaeFileOptions {
  /** Gives every decoder row norm 1, after loading: see `foldWDecNorm`. */
  foldWDecNorm?: boolean;
  /** How the encoder works; "strict" by default. */
  precision?: Precision;
}

export interface SaeOptions {
  device?: Device | undefined;
  /** Of weights and results; cfg.json's when not given. Arithmetic is float32. */
  dtype?: DType | undefined;
  precision?: Precision | undefined;
}

/**
 * A sparse autoencoder, or a transcoder, with SAELens' equations and names: weights [in, out],
 * y = x @ W. Leading dimensions are free; a hook_z SAE takes [..., n_heads, d_head], a temporal one
 * [batch, pos, d_in].
 *
 * Weights are held in `dtype`, arithmetic is float32, results are given in `dtype`. Errors: ERR_SHAPE,
 * ERR_DTYPE or ERR_DEVICE for inputs that do not fit, ERR_DISPOSED after `dispose`.
 */
export class SAE implements Disposable {
  #engine: SaeEngine | undefined;
  /** Metadata under the names files use. */
  readonly #metadata: Json;
  readonly #precision: Precision;
  #W_enc: Tensor | undefined;
  /** Whether `forward`, `runWithCache` and `runWithHooks` add back what the SAE missed; attaching has an option of its own. */
  useErrorTerm = false;

  /** @internal Takes ownership of the weights. Throws ERR_FORMAT, ERR_SHAPE or ERR_DTYPE when they are not the architecture's. */
  constructor(loaded: LoadedSae, options: SaeOptions = {}) {
    const { cfgDict, weights, raw = cfgDict } = loaded;
    const device = resolveDevice(options.device) as Device;
    const dtype = options.dtype === undefined ? {} : { dtype: options.dtype };
    const cfg = { ...parseConfig({ ...cfgDict, ...dtype }, raw), device };
    this.#metadata = (cfgDict.metadata ?? {}) as Json;
    this.#precision = options.precision ?? 'strict';
    this.#engine = new SaeEngine(cfg, checked(cfg, weights));
  }

  /**
   * A published SAE: a release and an id of the registry, or a Hugging Face repository id and a folder in
   * it. Its files are downloaded into Python's cache unless they are there. Weights are float32 unless
   * `dtype` says otherwise; the registry's norm_scaling_factor is folded into them where the SAE expects
   * normalised activations. Throws ERR_NOT_FOUND with the nearest names, ERR_GATED, ERR_OFFLINE,
   * ERR_NETWORK, ERR_INTEGRITY, ERR_ABORTED, and for files that are not a sound SAE ERR_FORMAT, ERR_SHAPE,
   * ERR_DTYPE, ERR_UNSAFE_PICKLE or ERR_UNSUPPORTED.
   */
  static async fromPretrained(
    release: Release,
    saeId: string,
    options: SaeLoadOptions = {},
  ): Promise<SAE> {
    const loaded = await loadPretrained(release, saeId, options);
    loaded.logSparsity?.dispose();
    return assemble(loaded, options);
  }

  /** The same, with the configuration as a dictionary and, where published, log10 of the firing frequencies, [d_sae]. */
  static async fromPretrainedWithCfgAndSparsity(
    release: Release,
    saeId: string,
    options: SaeLoadOptions = {},
  ): Promise<{ sae: SAE; cfgDict: Record<string, unknown>; logSparsity: Tensor | undefined }> {
    const loaded = await loadPretrained(release, saeId, options);
    const sae = assemble(loaded, options);
    const { normalizeActivations } = sae.cfg;
    const cfgDict = { ...loaded.cfgDict, normalize_activations: normalizeActivations };
    return { sae, cfgDict, logSparsity: loaded.logSparsity };
  }

  /**
   * An SAE from a folder with cfg.json and sae_weights.safetensors, or in the form that `loader` names, in
   * the configuration's dtype unless told otherwise; no norm_scaling_factor is folded. Throws
   * ERR_NOT_FOUND for a missing folder or file, and as `fromPretrained` for unsound ones.
   */
  static async loadFromDisk(
    path: string,
    options: Pick<
      SaeLoadOptions,
      'device' | 'dtype' | 'loader' | 'cfgOverrides' | 'foldWDecNorm' | 'precision'
    > = {},
  ): Promise<SAE> {
    const loaded = await loadFromFolder(path, options);
    loaded.logSparsity?.dispose();
    return assemble(loaded, options);
  }

  /**
   * One decoder row of a published SAE, [d_in], float32, as W_dec would have it: the weights are not
   * downloaded, but for pickles, compressed archives and decoders stored transposed.
   */
  static fetchDecoderRow(
    release: Release,
    saeId: string,
    feature: number,
    options: SaeLoadOptions = {},
  ): Promise<Float32Array> {
    return fetchDecoderRow(release, saeId, feature, options);
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

  /** [d_in, d_sae]; W_dec's transpose where the architecture has no encoder of its own. */
  get W_enc(): Tensor {
    const { W_enc, W_dec } = this.engine.weights;
    if (W_enc !== undefined) return W_enc;
    this.#W_enc ??= (W_dec as Tensor).transpose(0, 1);
    return this.#W_enc;
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

  /**
   * Feature activations of x. Resolves when they are computed. Aborting the signal rejects with
   * ERR_ABORTED and ends the work between blocks of tokens.
   */
  encode(
    x: TensorLike,
    options: { signal?: AbortSignal; precision?: Precision } = {},
  ): Promise<FeatureActs> {
    const { signal, precision = this.#precision } = options;
    return this.#with(x, (tensor) =>
      cancellable(signal, async (cancel) => {
        const pass = { ...this.#pass(), precision, cancel, signal };
        return this.#finished(await encode(this.engine, tensor, pass));
      }),
    );
  }

  /**
   * The reconstruction of feature activations, [..., d_in] (transcoders [..., d_out]). Those that
   * `encode` returned carry what normalisation took out of their input; a bare tensor [..., d_sae] does
   * not, so under layer_norm and constant_norm_rescale it is ERR_INVALID_ARGUMENT.
   */
  async decode(acts: FeatureActs | TensorLike): Promise<Tensor> {
    const { engine } = this;
    using own = acts instanceof FeatureActs ? null : sparse(acts, this.device);
    const given = own ?? (acts as FeatureActs);
    using rows = engine.decode(given);
    const dHead = engine.dHeadOf(given.provenance);
    return this.#finished(engine.present(rows, given.shape.slice(0, -1), dHead));
  }

  /**
   * decode(encode(x)), plus what the architecture reconstructs beside its features (a skip
   * connection, a temporal prediction), plus the error term when `useErrorTerm` is set.
   */
  forward(x: TensorLike): Promise<Tensor> {
    return this.#run(x, {});
  }

  /** forward, and what each hook_sae_… point carried. */
  async runWithCache(x: TensorLike): Promise<{ output: Tensor; cache: ActivationCache }> {
    const cache = new ActivationCache((name) => this.#resolve(name));
    return { output: await this.#run(x, { cache }), cache };
  }

  /** forward with hooks at hook_sae_… points, by their short or their full names. */
  runWithHooks(x: TensorLike, options: { fwdHooks: readonly FwdHook[] }): Promise<Tensor> {
    return this.#run(x, options);
  }

  /** What the last encode did: path taken, candidates per L0, share refined, largest error over margin. */
  stats(): Readonly<Record<string, number | string>> {
    return this.engine.encoder.stats();
  }

  /** Moves and converts in place. */
  to(options: { device?: Device; dtype?: DType }): SAE {
    const { cfg, weights } = this.engine;
    const device =
      options.device === undefined ? cfg.device : (resolveDevice(options.device) as Device);
    const dtype = options.dtype ?? cfg.dtype;
    this.#replace({ ...cfg, device, dtype }, convertWeights(weights, dtype, device));
    return this;
  }

  /**
   * Gives every decoder row norm 1; feature activations grow by the norms, reconstructions stay.
   * Throws ERR_UNSUPPORTED where that would change which features are on (topk without decoder-norm
   * rescaling, temporal, matching pursuit).
   */
  foldWDecNorm(): void {
    const { cfg, weights } = this.engine;
    this.#exchange(cfg, foldDecoderNorms(weights, this.#foldable().foldedParameters(cfg)));
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

  /** `${hook point}.hook_sae_…`, the full name under which the point appears once attached. */
  hookName<Point extends SaeHook>(point: Point): `${string}.${Point}` {
    const { hookName, hookNameOut } = this.cfg.metadata;
    const at = hookNameOut ?? hookName;
    if (at === undefined) {
      throw new MonosemError(
        'ERR_HOOK',
        "this SAE's metadata names no hook point, so its points have no full names",
      );
    }
    return `${at}.${point}`;
  }

  /** Writes cfg.json and sae_weights.safetensors, which SAELens 6 reads, into a folder made when missing. */
  async saveModel(path: string): Promise<{ weightsPath: string; cfgPath: string }> {
    const { cfg, weights } = this.engine;
    const weightsPath = join(path, 'sae_weights.safetensors');
    const cfgPath = join(path, 'cfg.json');
    await mkdir(path, { recursive: true });
    const entries = Object.entries(weights);
    await native.writeSafetensors(
      weightsPath,
      entries.map(([name]) => name),
      entries.map(([, tensor]) => tensor.handle),
    );
    const dict = writeConfig(cfg, versionedMetadata(this.#metadata));
    await writeFile(cfgPath, JSON.stringify(dict));
    return { weightsPath, cfgPath };
  }

  /** Frees weights and prepared forms once the commands in flight are done with them. Safe to repeat. */
  dispose(): void {
    if (this.#engine === undefined) return;
    const { weights } = this.#engine;
    this.#engine.dispose();
    this.#engine = undefined;
    this.#W_enc?.dispose();
    disposeWeights(weights);
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  #pass(): PassOptions {
    return { prefix: '', useErrorTerm: false, precision: this.#precision };
  }

  #run(x: TensorLike, options: RunOptions): Promise<Tensor> {
    const { cfg, architecture } = this.engine;
    const adds = !architecture.isTranscoder && cfg.architecture !== 'temporal';
    const useErrorTerm = this.useErrorTerm && adds;
    return this.#with(x, async (tensor) => {
      using run = options.cache || options.fwdHooks ? this.#hooks().begin(options) : new HookRun();
      const pass = { ...this.#pass(), useErrorTerm };
      return this.#finished(await runSae(this.engine, tensor, tensor, run, pass));
    });
  }

  /** The points of this SAE by itself. */
  #hooks(): HookRegistry {
    const { cfg, architecture } = this.engine;
    const running = { attached: false, useErrorTerm: this.useErrorTerm };
    return new HookRegistry({
      names: firing(cfg, architecture, running),
      resolve: (name) => this.#resolve(name),
      cannotFire: (name) => whyNot(name as SaeHook, cfg, architecture, running),
    });
  }

  /** hook_sae_… from its short name, or from the full one it has when attached. */
  #resolve(name: string): SaeHook | undefined {
    const { hookName, hookNameOut } = this.cfg.metadata;
    const prefix = `${hookNameOut ?? hookName}.`;
    const short = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    return SAE_HOOKS.find((hook) => hook === short);
  }

  /** Borrows or uploads an input for the time of `body`. */
  async #with<R>(x: TensorLike, body: (tensor: Tensor) => Promise<R>): Promise<R> {
    const tensor = toTensor(x, this.device);
    try {
      return await body(tensor);
    } finally {
      if (tensor !== x) tensor.dispose();
    }
  }

  async #finished<T extends Disposable>(result: T): Promise<T> {
    try {
      await native.fence(this.device);
      return result;
    } catch (error) {
      result[Symbol.dispose]();
      throw error;
    }
  }

  #foldable(): Required<Architecture> {
    const { cfg, architecture } = this.engine;
    if (architecture.foldedParameters !== undefined) return architecture as Required<Architecture>;
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      `a ${cfg.architecture} SAE has no linear encoder to fold anything into`,
    );
  }

  /** Puts changed parameters in place of the old ones. */
  #exchange(cfg: SAEConfig, changed: Weights): void {
    const { weights } = this.engine;
    for (const name of Object.keys(changed)) weights[name]?.dispose();
    this.#replace(cfg, { ...weights, ...changed });
  }

  #replace(cfg: SAEConfig, weights: Weights): void {
    this.#engine?.dispose();
    this.#W_enc?.dispose();
    this.#W_enc = undefined;
    this.#engine = new SaeEngine(cfg, weights);
  }
}

/** The SAE of what was loaded, folded as its release and the caller ask. */
function assemble(loaded: LoadedFiles, options: SaeLoadOptions): SAE {
  for (const warning of loaded.warnings) process.emitWarning(warning, 'MonosemWarning');
  const { device, precision, foldWDecNorm } = options;
  const sae = new SAE(loaded, { device, precision });
  try {
    if (loaded.normScalingFactor !== undefined) {
      sae.foldActivationNormScalingFactor(loaded.normScalingFactor);
    }
    if (foldWDecNorm) sae.foldWDecNorm();
    return sae;
  } catch (error) {
    sae.dispose();
    throw error;
  }
}

/** The weights, converted, once they are found to be what the architecture has. */
function checked(cfg: SAEConfig, weights: Weights): Weights {
  const { parameters } = architectureOf(cfg.architecture);
  checkWeights(cfg.architecture, parameters(cfg), new Map(Object.entries(weights)));
  return convertWeights(weights, cfg.dtype, cfg.device);
}

function sparse(dense: TensorLike, device: Device): FeatureActs {
  const tensor = toTensor(dense, device);
  try {
    return FeatureActs.from(tensor);
  } finally {
    if (tensor !== dense) tensor.dispose();
  }
}
