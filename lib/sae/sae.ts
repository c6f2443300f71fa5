import { cancellable } from '../abort.js';
import { MonosemError } from '../error.js';
import { ActivationCache } from '../hooks/activation_cache.js';
import type { RunOptions } from '../hooks/hook_registry.js';
import type { FwdHook } from '../hooks/types.js';
import { inspectAs } from '../inspect.js';
import {
  fetchDecoderRow,
  type LoadedSae as LoadedFiles,
  loadFromFolder,
  loadPretrained,
  type SaeFileOptions,
} from '../loaders/index.js';
import { native } from '../native.js';
import type { Release } from '../registry/releases.js';
import { unscoped } from '../scope.js';
import { Tensor, type TensorLike, toTensor } from '../tensor.js';
import { resolveHook, runAlone } from './alone.js';
import type { SaeEngine } from './engine.js';
import { FeatureActs } from './feature_acts.js';
import type { SaeHook } from './sae_hooks.js';
import { SaeState } from './sae_state.js';
import { encode, type Precision } from './splice.js';

export interface SaeLoadOptions extends SaeFileOptions {
  /** Gives every decoder row norm 1, after loading: see `foldWDecNorm`. */
  foldWDecNorm?: boolean;
  /** How the encoder works; "strict" by default. */
  precision?: Precision;
}

/**
 * A sparse autoencoder, or a transcoder, with SAELens' equations and names: weights [in, out],
 * y = x @ W. Leading dimensions are free; a hook_z SAE takes [..., n_heads, d_head], a temporal one
 * [batch, pos, d_in].
 *
 * Weights are held in `dtype`, arithmetic is float32, results are given in `dtype`. Errors: ERR_SHAPE,
 * ERR_DTYPE or ERR_DEVICE for inputs that do not fit, ERR_DISPOSED after `dispose`.
 */
export class SAE extends SaeState {
  /** Whether `forward`, `runWithCache` and `runWithHooks` add back what the SAE missed; attaching has an option of its own. */
  useErrorTerm = false;

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

  /**
   * Feature activations of x. Resolves when they are computed. Aborting the signal rejects with
   * ERR_ABORTED and ends the work between blocks of tokens.
   */
  encode(
    x: TensorLike,
    options: { signal?: AbortSignal; precision?: Precision } = {},
  ): Promise<FeatureActs> {
    const { signal, precision = this.precision } = options;
    return cancellable(signal, (cancel) =>
      this.#run(x, (engine, input) =>
        encode(engine, input, { prefix: '', useErrorTerm: false, precision, cancel, signal }),
      ),
    );
  }

  /**
   * The reconstruction of feature activations, [..., d_in] (transcoders [..., d_out]). Those that
   * `encode` returned carry what normalisation took out of their input; a bare tensor [..., d_sae] does
   * not, so under layer_norm and constant_norm_rescale it is ERR_INVALID_ARGUMENT.
   */
  async decode(acts: FeatureActs | TensorLike): Promise<Tensor> {
    if (acts instanceof FeatureActs) {
      return this.#finish(this.engine, async (engine) => decodeActs(engine, acts));
    }
    return this.#run(acts, async (engine, dense) => {
      using sparse = FeatureActs.from(dense);
      return decodeActs(engine, sparse);
    });
  }

  /**
   * decode(encode(x)), plus what the architecture reconstructs beside its features (a skip
   * connection, a temporal prediction), plus the error term when `useErrorTerm` is set.
   */
  forward(x: TensorLike): Promise<Tensor> {
    return this.#forward(x, {});
  }

  /** forward, and what each hook_sae_… point carried. */
  async runWithCache(x: TensorLike): Promise<{ output: Tensor; cache: ActivationCache }> {
    const { cfg } = this.engine;
    const cache = new ActivationCache((name) => resolveHook(cfg, name));
    try {
      return { output: await this.#forward(x, { cache }), cache };
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  /** forward with hooks at hook_sae_… points, by their short or their full names. */
  runWithHooks(x: TensorLike, options: { fwdHooks: readonly FwdHook[] }): Promise<Tensor> {
    return this.#forward(x, options);
  }

  /**
   * What the last encode did: path taken, candidates per L0, share refined, largest error over margin; and
   * the bytes of the forms of W_enc now in memory: `float32PanelsBytes`, `screenBytes`, `rowsBytes`,
   * `float16PlanesBytes` (CUDA), `planBytes` in all.
   */
  stats(): Readonly<Record<string, number | string>> {
    return this.engine.encoder.stats();
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

  #forward(x: TensorLike, options: RunOptions): Promise<Tensor> {
    const run = { ...options, useErrorTerm: this.useErrorTerm, precision: this.precision };
    return this.#run(x, (engine, input) => runAlone(engine, input, run));
  }

  /** Runs `body` on an input of any kind, brought to the device. */
  #run<T extends Disposable>(
    x: TensorLike,
    body: (engine: SaeEngine, input: Tensor) => Promise<T>,
  ): Promise<T> {
    return unscoped(async () => {
      const { engine } = this;
      const given = toTensor(x, engine.cfg.device);
      using input = given === x ? new Tensor(native.alias(given.handle)) : given;
      return await this.#finish(engine, () => body(engine, input));
    });
  }

  /** Resolves when what `body` queued has run. Neither weights nor input need live on meanwhile, nor an open scope. */
  #finish<T extends Disposable>(
    engine: SaeEngine,
    body: (engine: SaeEngine) => Promise<T>,
  ): Promise<T> {
    return unscoped(async () => {
      using _ = engine.hold();
      const result = await body(engine);
      try {
        await native.fence(engine.cfg.device);
        return result;
      } catch (error) {
        result[Symbol.dispose]();
        throw error;
      }
    });
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

function decodeActs(engine: SaeEngine, acts: FeatureActs): Tensor {
  using rows = engine.decode(acts);
  return engine.present(rows, acts.shape.slice(0, -1), engine.dHeadOf(acts.provenance));
}

inspectAs(SAE, ({ cfg: { architecture, dIn, dSae, device, metadata } }) => {
  return `${architecture} ${dIn} -> ${dSae} at ${metadata.hookName ?? 'no hook point'} on ${device}`;
});
