import { type NativePlan, type NativeTensor, native } from '../../native.js';
import { scope } from '../../scope.js';
import { Tensor } from '../../tensor.js';
import type { Code, EncodeOptions, Encoder, PreActivations, Weights } from './architecture.js';

/**
 * The vectors that make a linear map followed by a threshold into an architecture, each [d_sae]. With
 * a = x @ W_enc: a feature is active unless a + gateBias <= theta, its value relu(a * scale + bias); or,
 * with k, the k largest a * scale + bias are kept, then relu (monosem_sae_encoder in backend.h).
 */
export interface EncoderVectors {
  readonly gateBias: Tensor;
  /** Absent: 0. */
  readonly theta?: Tensor | undefined;
  readonly scale?: Tensor | undefined;
  readonly bias: Tensor;
  readonly k?: number | undefined;
  /** An input to expect, [d_in]: the screen's margins are smallest around it. */
  readonly center?: Tensor | undefined;
}

/** x @ W_enc + bias, dense: [tokens, d_sae]. */
type Linear = (bias?: Tensor) => Tensor;

/** The equations an architecture supplies for pre-activations that are looked at, and changed. */
export interface DenseEquations {
  /** hook_sae_acts_pre. */
  preActivations(linear: Linear): Tensor;
  /** f from the pre-activations. */
  activate(pre: Tensor, linear: Linear): Tensor;
}

/** Encodes by the fused native kernel; pre-activations are computed densely only when asked for. */
export class LinearEncoder implements Encoder {
  readonly #W_enc: Tensor;
  readonly #vectors: EncoderVectors;
  readonly #equations: DenseEquations;
  readonly decodeScale: Tensor | undefined;
  #plan: NativePlan | undefined;

  /** Takes ownership of the vectors, which are float32; not of W_enc. */
  constructor(
    W_enc: Tensor,
    vectors: EncoderVectors,
    equations: DenseEquations,
    decodeScale?: Tensor,
  ) {
    this.#W_enc = W_enc;
    this.#vectors = vectors;
    this.#equations = equations;
    this.decodeScale = decodeScale;
  }

  encode(x: Tensor, { precision, cancel }: EncodeOptions): Code {
    return { acts: native.saeEncode(this.#prepared(), x.handle, precision, cancel) };
  }

  preActivations(x: Tensor): PreActivations {
    return scope(() => ({ pre: this.#equations.preActivations(this.#linear(x)) }));
  }

  activate(pre: Tensor, x: Tensor): Tensor {
    return scope(() => this.#equations.activate(pre, this.#linear(x)));
  }

  stats(): Readonly<Record<string, number | string>> {
    if (this.#plan === undefined) return {};
    const forms = this.#plan.forms();
    const { path, candidates, active, ambiguous, errorToMargin, tokens } = this.#plan.stats();
    return {
      path,
      tokens,
      active,
      candidates,
      candidatesPerL0: active > 0 ? candidates / active : 0,
      ambiguous,
      errorToMargin,
      ...forms,
      planBytes: Object.values(forms).reduce((sum, bytes) => sum + bytes, 0),
    };
  }

  dispose(): void {
    this.#plan?.dispose();
    const { gateBias, theta, scale, bias, center } = this.#vectors;
    for (const vector of [gateBias, theta, scale, bias, center, this.decodeScale]) {
      vector?.dispose();
    }
  }

  /** Prepared on the first encode: an SAE that is only decoded never pays for it. */
  #prepared(): NativePlan {
    if (this.#plan !== undefined) return this.#plan;
    const { gateBias, theta, scale, bias, center, k } = this.#vectors;
    const threshold = k === undefined ? (theta ?? Tensor.zerosLike(gateBias)) : undefined;
    this.#plan = native.saePlan(
      this.#W_enc.handle,
      gateBias.handle,
      orNull(threshold),
      orNull(scale),
      bias.handle,
      orNull(center),
      k ?? 0,
    );
    if (threshold !== theta) threshold?.dispose();
    return this.#plan;
  }

  #linear(x: Tensor): Linear {
    return (bias) =>
      new Tensor(native.linear(x.handle, this.#W_enc.handle, orNull(bias), NO_ACTIVATION));
  }
}

const NO_ACTIVATION = -1;

function orNull(tensor: Tensor | undefined): NativeTensor | null {
  return tensor?.handle ?? null;
}

/** A float32 copy that outlives the scope it is made in. */
export function float32(tensor: Tensor): Tensor {
  return tensor.to({ dtype: 'float32' });
}

/** Euclidean norms of W_dec's rows, float32 [d_sae]. */
export function decoderNorms({ W_dec }: Weights): Tensor {
  return scope(() => float32((W_dec as Tensor).norm(1)));
}
