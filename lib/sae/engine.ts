import { MonosemError } from '../error.js';
import { type NativeTensor, Normalize, native } from '../native.js';
import { scope, unscoped } from '../scope.js';
import { Tensor } from '../tensor.js';
import type {
  Architecture,
  Code,
  EncodeOptions,
  Encoder,
  Weights,
} from './architectures/architecture.js';
import { float32 } from './architectures/linear_encoder.js';
import { architectureOf, type SAEConfig } from './config.js';
import { FeatureActs, type Provenance, tokensOf } from './feature_acts.js';
import { checkWeights, convertWeights, disposeWeights } from './weights.js';

/** An activation made ready: flattened, in the SAE's dtype. */
export interface SaeInput {
  /** [..., d_in], what hook_sae_input shows. */
  readonly flat: Tensor;
  /** The last dimension before heads were flattened away; null when there was nothing to flatten. */
  readonly dHead: number | null;
}

/** Flat input after normalisation and centring, and what they took out. */
export interface Normalised {
  /** float32 [tokens, d_in] */
  readonly rows: Tensor;
  readonly statistics: NativeTensor | null;
}

/** What is made of the weights on first use, and how often they had been written to by then. */
interface Derived {
  readonly writes: number;
  encoder?: Encoder;
  b_dec?: Tensor;
}

function disposeDerived({ encoder, b_dec }: Derived): void {
  encoder?.dispose();
  b_dec?.dispose();
}

/**
 * The steps of an SAE over its weights on one device, without hooks: each is queued and returns at once.
 * Who calls a step owns what it returns.
 */
export class SaeEngine {
  readonly cfg: SAEConfig;
  readonly architecture: Architecture;
  readonly weights: Weights;
  #derived: Derived = { writes: 0 };
  #W_enc: Tensor | undefined;
  /** The owner, and every pass that is under way. */
  #holders = 1;
  /** What a hook_z SAE saw first: for decoding numbers that came from elsewhere. */
  #dHead: number | null = null;

  /** The weights are checked and, where they have another dtype or device, converted; the caller keeps its own. */
  constructor(cfg: SAEConfig, weights: Weights) {
    this.cfg = cfg;
    this.architecture = architectureOf(cfg.architecture);
    const expected = this.architecture.parameters(cfg);
    checkWeights(cfg.architecture, expected, new Map(Object.entries(weights)));
    // no scope that happens to be open owns what an SAE keeps
    this.weights = unscoped(() => convertWeights(weights, cfg.dtype, cfg.device));
  }

  /** [d_in, d_sae]; W_dec's transpose where the architecture has no encoder of its own. */
  get W_enc(): Tensor {
    const { W_enc, W_dec } = this.weights;
    this.#W_enc ??= W_enc ?? unscoped(() => (W_dec as Tensor).transpose(0, 1));
    return this.#W_enc;
  }

  /** Prepared on first use: what is only decoded never pays for it. */
  get encoder(): Encoder {
    const derived = this.#upToDate();
    derived.encoder ??= unscoped(() => this.architecture.encoder(this.cfg, this.weights));
    return derived.encoder;
  }

  /** b_dec in float32. */
  get #b_dec(): Tensor {
    const derived = this.#upToDate();
    derived.b_dec ??= unscoped(() => float32(this.weights.b_dec as Tensor));
    return derived.b_dec;
  }

  /** What was made of the weights; nothing once they have been written to. */
  #upToDate(): Derived {
    const writes = Object.values(this.weights).reduce((sum, { handle }) => sum + handle.writes, 0);
    if (writes !== this.#derived.writes) {
      disposeDerived(this.#derived);
      this.#derived = { writes };
    }
    return this.#derived;
  }

  /** Width of the reconstruction. */
  get dOut(): number {
    return this.cfg.dOut ?? this.cfg.dIn;
  }

  /** Reshape and cast. Throws ERR_SHAPE when the last dimension (or the last two, of hook_z) is not d_in. */
  input(x: Tensor): SaeInput {
    const { dIn, dtype, reshapeActivations, device } = this.cfg;
    if (x.device !== device) {
      throw new MonosemError(
        'ERR_DEVICE',
        `the SAE is on ${device}, the activations on ${x.device}; move one with to({ device })`,
      );
    }
    const last = x.shape.at(-1);
    const heads = x.shape.at(-2);
    const byHead =
      reshapeActivations === 'hook_z' &&
      last !== undefined &&
      heads !== undefined &&
      heads * last === dIn;
    if (!byHead && last !== dIn) {
      const expected = reshapeActivations === 'hook_z' ? 'n_heads, d_head] or [..., d_in' : 'd_in';
      throw new MonosemError(
        'ERR_SHAPE',
        `the SAE expects [..., ${expected}] with d_in = ${dIn}, got [${x.shape}]`,
      );
    }
    const shape = byHead ? [...x.shape.slice(0, -2), dIn] : x.shape;
    const dHead = byHead ? last : null;
    this.#dHead ??= dHead;
    if (x.dtype === dtype) return { flat: x.reshape(shape), dHead };
    using cast = x.to({ dtype });
    return { flat: cast.reshape(shape), dHead };
  }

  /** Normalisation, then minus b_dec where the configuration says so. */
  normalise(flat: Tensor): Normalised {
    const { dIn, applyBDecToInput, normalizeActivations, activationNormalizationFactor } = this.cfg;
    const b_dec = applyBDecToInput ? this.#b_dec.handle : null;
    const factor = activationNormalizationFactor ?? 1;
    using rows = flat.reshape([tokensOf(flat.shape), dIn]);
    const mode = normalizeCode(normalizeActivations);
    const [input, statistics] = native.saeInput(rows.handle, mode, factor, b_dec);
    return { rows: new Tensor(input), statistics };
  }

  encode(rows: Tensor, options: EncodeOptions): Code | Promise<Code> {
    return this.encoder.encode(rows, options);
  }

  /** f of pre-activations [tokens, d_sae] that a hook may have changed. */
  activate(
    pre: Tensor,
    rows: Tensor,
    leading: readonly number[],
    provenance: Pick<Provenance, 'statistics' | 'dHead'>,
  ): FeatureActs {
    using dense = this.encoder.activate(pre, rows);
    return this.acts(native.actsFromDense(dense.handle), leading, provenance);
  }

  acts(
    handle: Code['acts'],
    leading: readonly number[],
    { statistics, dHead }: Pick<Provenance, 'statistics' | 'dHead'>,
  ): FeatureActs {
    const { dtype, dSae } = this.cfg;
    return new FeatureActs(handle, [...leading, dSae], { statistics, dHead, dtype });
  }

  /** The reconstruction while still normalised, float32 [tokens, d_out]: what hook_sae_recons shows. */
  recons(acts: FeatureActs): Tensor {
    return this.#decode(acts, Normalize.none, null);
  }

  /** The whole decode: float32 [tokens, d_out]. */
  decode(acts: FeatureActs, provenance: Provenance = acts.provenance): Tensor {
    const mode = this.architecture.isTranscoder ? 'none' : this.cfg.normalizeActivations;
    return this.#decode(acts, normalizeCode(mode), provenance.statistics);
  }

  #decode(acts: FeatureActs, normalize: number, statistics: NativeTensor | null): Tensor {
    const { dSae, activationNormalizationFactor } = this.cfg;
    if (acts.shape.at(-1) !== dSae) {
      throw new MonosemError(
        'ERR_SHAPE',
        `the SAE decodes [..., ${dSae}] (d_sae last), got [${acts.shape}]`,
      );
    }
    const [out] = native.saeDecode(
      acts.handle,
      (this.weights.W_dec as Tensor).handle,
      this.encoder.decodeScale?.handle ?? null,
      this.architecture.addsDecoderBias(this.cfg) ? this.#b_dec.handle : null,
      normalize,
      statistics,
      activationNormalizationFactor ?? 1,
      null,
      false,
    );
    return new Tensor(out);
  }

  /** Undoes the normalisation of a reconstruction that a hook may have changed: [tokens, d_out]. */
  denormalise(recons: Tensor, { statistics }: Provenance): Tensor {
    const { normalizeActivations, activationNormalizationFactor } = this.cfg;
    if (this.architecture.isTranscoder) return recons.clone();
    if (normalizeActivations === 'constant_scalar_rescale') {
      return recons.div(activationNormalizationFactor as number);
    }
    if (statistics === null) return recons.clone();
    return scope(() => {
      const taken = new Tensor(native.alias(statistics));
      const [first, second] = [taken.slice(null, [0, 1]), taken.slice(null, [1, 2])];
      return normalizeActivations === 'layer_norm'
        ? recons.mul(first).add(second)
        : recons.div(first);
    });
  }

  /** x @ W_skip^T of the raw input, float32 [tokens, d_out]; undefined for what has no skip connection. */
  skip(x: Tensor): Tensor | undefined {
    const { W_skip } = this.weights;
    if (W_skip === undefined) return undefined;
    return scope(() => float32(x.reshape([-1, this.cfg.dIn])).matmul(W_skip.transpose(0, 1)));
  }

  /** Rows under the shape and dtype the outside sees. */
  present(rows: Tensor, leading: readonly number[], dHead: number | null = null): Tensor {
    const width = rows.shape.at(-1) as number;
    const shape = dHead === null ? [...leading, width] : [...leading, width / dHead, dHead];
    if (rows.dtype === this.cfg.dtype) return rows.reshape(shape);
    using cast = rows.to({ dtype: this.cfg.dtype });
    return cast.reshape(shape);
  }

  /** What `present` showed, after a hook, back as float32 [tokens, width]. */
  rows(shown: Tensor, width: number): Tensor {
    using flat = shown.reshape([tokensOf(shown.shape), width]);
    return float32(flat);
  }

  /** How a decoded hook_z activation is split into heads: as its input was, else as the first one seen. */
  dHeadOf({ dHead }: Provenance): number | null {
    if (this.cfg.reshapeActivations !== 'hook_z') return null;
    return dHead === undefined ? this.#dHead : dHead;
  }

  /** Keeps everything alive until the result is disposed: a pass is not harmed by a dispose meanwhile. */
  hold(): Disposable {
    this.#holders++;
    return { [Symbol.dispose]: () => this.dispose() };
  }

  /** Gives up one holder's share; the last one frees weights and prepared forms. */
  dispose(): void {
    if (--this.#holders > 0) return;
    disposeDerived(this.#derived);
    this.#W_enc?.dispose();
    disposeWeights(this.weights);
  }
}

function normalizeCode(mode: string): number {
  // expected_average_only_in is folded into the weights when they are loaded, or not at all
  return mode in Normalize ? Normalize[mode as keyof typeof Normalize] : Normalize.none;
}
