import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { type Index, range } from '../indexing.js';
import { inspectAs } from '../inspect.js';
import {
  type Csr,
  type DType,
  Intervention,
  type NativeActs,
  type NativeTensor,
  native,
} from '../native.js';
import { Tensor, type TensorLike, toTensor } from '../tensor.js';
import { type FeatureHit, FeatureRows } from './feature_rows.js';

/** What decode needs to know about the input that was encoded: it travels with the activations, so decode is pure. */
export interface Provenance {
  /** Per token, what normalisation took out: float32 [tokens, 2] (cpp/core/backend.h). Null where the mode keeps none. */
  readonly statistics: NativeTensor | null;
  /** The last dimension of a hook_z input, [..., n_heads, d_head], which decode restores; null: none; undefined: not known. */
  readonly dHead: number | null | undefined;
  /** Of the SAE: what `dense` gives. */
  readonly dtype: DType;
}

const NO_PROVENANCE: Provenance = { statistics: null, dHead: undefined, dtype: 'float32' };

/** One immutable native CSR, held by any number of FeatureActs. */
class SharedActs {
  readonly handle: NativeActs;
  #holders = 1;
  constructor(handle: NativeActs) {
    this.handle = handle;
  }
  retain(): this {
    this.#holders++;
    return this;
  }
  release(): void {
    if (--this.#holders === 0) this.handle.dispose();
  }
}

/**
 * Sparse [..., d_sae] activations: per token the active features, ascending, and their float32 values.
 * Reads like the dense tensor it stands for. Interventions work in place and chain; like all work here
 * they are queued, only reading numbers back waits.
 *
 * Throws ERR_DISPOSED after `dispose`, ERR_INVALID_ARGUMENT for a feature outside [0, d_sae).
 */
export class FeatureActs implements Disposable {
  #shared: SharedActs | undefined;
  readonly #provenance: Provenance;
  readonly shape: readonly number[];
  readonly device: Device;

  /** @internal Takes ownership of the handle and of the statistics. */
  constructor(
    acts: NativeActs | SharedActs,
    shape: readonly number[],
    provenance: Provenance = NO_PROVENANCE,
  ) {
    this.#shared = acts instanceof SharedActs ? acts : new SharedActs(acts);
    this.#provenance = provenance;
    this.shape = Object.freeze([...shape]);
    this.device = this.#shared.handle.device as Device;
  }

  /** The non-zero entries of a dense [..., d_sae] tensor. */
  static from(dense: TensorLike): FeatureActs {
    const tensor = toTensor(dense);
    try {
      const dSae = tensor.shape.at(-1);
      if (dSae === undefined) {
        throw new MonosemError(
          'ERR_SHAPE',
          'FeatureActs.from() expects a tensor of shape [..., d_sae], got a scalar',
        );
      }
      const rows = native.reshape(tensor.handle, [tokensOf(tensor.shape), dSae]);
      try {
        return new FeatureActs(native.actsFromDense(rows), tensor.shape);
      } finally {
        rows.dispose();
      }
    } finally {
      if (tensor !== dense) tensor.dispose();
    }
  }

  /** @internal */
  get handle(): NativeActs {
    return this.#alive().handle;
  }

  /** @internal */
  get provenance(): Provenance {
    return this.#provenance;
  }

  #alive(): SharedActs {
    if (this.#shared === undefined) {
      throw new MonosemError(
        'ERR_DISPOSED',
        'these feature activations were disposed; clone() what must live longer',
      );
    }
    return this.#shared;
  }

  get #leading(): readonly number[] {
    return this.shape.slice(0, -1);
  }

  get #dSae(): number {
    return this.shape.at(-1) as number;
  }

  /** How many entries are not zero, over all tokens. */
  async nnz(): Promise<number> {
    using counts = this.l0();
    let total = 0;
    for (const count of await counts.data()) total += count;
    return total;
  }

  /** Active features per token, [...]. */
  l0(): Tensor {
    return shaped(native.actsCount(this.handle), this.#leading);
  }

  /** 1 where the activation is greater than `value`, else 0: dense [..., d_sae]. */
  gt(value: number): Tensor {
    using dense = this.dense();
    return dense.gt(value);
  }

  /** The dense [..., d_sae] tensor, in the SAE's dtype. */
  dense(): Tensor {
    const wide = native.actsDense(this.handle);
    if (this.#provenance.dtype === 'float32') return shaped(wide, this.shape);
    try {
      return shaped(native.to(wide, this.#provenance.dtype, this.device), this.shape);
    } finally {
      wide.dispose();
    }
  }

  /**
   * The activations of some tokens: one index per leading dimension, as Tensor.slice. The feature
   * dimension stays whole; cut `dense()` for some features.
   */
  slice(...index: Index[]): FeatureActs {
    const leading = this.#leading;
    if (index.length > leading.length && index.slice(leading.length).some((at) => at !== null)) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `slice() of feature activations [${this.shape}] takes tokens, an index for each of [${leading}]; ` +
          'for some features use keep(), or dense().slice()',
      );
    }
    const cuts = leading.map((length, dim) => range(index[dim] ?? null, length, dim));
    const rows = pickRows(leading, cuts);
    const shape = leading.flatMap((_, dim) => {
      const [start, end] = cuts[dim] as [number, number];
      return typeof index[dim] === 'number' ? [] : [end - start];
    });
    const acts = native.actsRows(this.handle, rows);
    return new FeatureActs(acts, [...shape, this.#dSae], {
      ...this.#provenance,
      statistics: pickStatistics(this.#provenance.statistics, rows, this.device),
    });
  }

  /** Every token's row on the host. */
  async rows(): Promise<FeatureRows> {
    return new FeatureRows(await this.csr(), this.#leading);
  }

  /** Compressed rows, features ascending within a row. */
  csr(): Promise<Csr> {
    return native.readCsr(this.handle);
  }

  /** Each token's k strongest features, in row order; fewer where fewer are active. */
  async topk(k: number): Promise<FeatureHit[][]> {
    return Array.from(await this.rows(), (row) => row.topk(k));
  }

  /** Features become 0 in every token. */
  zero(feature: number | readonly number[]): this {
    return this.#intervene(Intervention.zero, feature, 0);
  }

  /** Features become `value` in every token. */
  set(feature: number | readonly number[], value: number): this {
    return this.#intervene(Intervention.set, feature, value);
  }

  /** Features grow by `value` in every token, active there or not. */
  add(feature: number | readonly number[], value: number): this {
    return this.#intervene(Intervention.add, feature, value);
  }

  /** Features are multiplied by `by` in every token. */
  scale(feature: number | readonly number[], by: number): this {
    return this.#intervene(Intervention.scale, feature, by);
  }

  /** Every other feature becomes 0 in every token. */
  keep(features: readonly number[]): this {
    return this.#intervene(Intervention.keep, features, 0);
  }

  #intervene(kind: number, feature: number | readonly number[], value: number): this {
    const features = this.#featureList(feature);
    if (typeof value !== 'number') {
      throw new MonosemError('ERR_INVALID_ARGUMENT', `expected a number, got ${typeof value}`);
    }
    const next = native.actsIntervene(this.handle, kind, features, value);
    this.#shared?.release();
    this.#shared = new SharedActs(next);
    return this;
  }

  /** Ascending and distinct, as the native side wants them. */
  #featureList(feature: number | readonly number[]): Uint32Array {
    const list = typeof feature === 'number' ? [feature] : Array.from(feature ?? [undefined]);
    for (const index of list) {
      if (!Number.isInteger(index) || index < 0 || index >= this.#dSae) {
        throw new MonosemError(
          'ERR_INVALID_ARGUMENT',
          `expected features in [0, ${this.#dSae}), got ${index}`,
        );
      }
    }
    return Uint32Array.from(new Set(list)).sort();
  }

  /** Shares the numbers until one of the two is changed. */
  clone(): FeatureActs {
    const { statistics } = this.#provenance;
    return new FeatureActs(this.#alive().retain(), this.shape, {
      ...this.#provenance,
      statistics: statistics && native.alias(statistics),
    });
  }

  /** Frees the memory once the commands in flight are done with it. Safe to repeat. */
  dispose(): void {
    if (this.#shared === undefined) return;
    this.#shared.release();
    this.#shared = undefined;
    this.#provenance.statistics?.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Number of rows of a [..., d] shape. */
export function tokensOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, length) => product * length, 1);
}

/** The handle under another shape, as a tensor of its own. */
function shaped(handle: NativeTensor, shape: readonly number[]): Tensor {
  const view = native.reshape(handle, shape);
  handle.dispose();
  return new Tensor(view);
}

/** Row numbers of a block of the leading dimensions, row-major. */
function pickRows(
  leading: readonly number[],
  cuts: readonly (readonly [number, number])[],
): Float64Array {
  let rows = [0];
  leading.forEach((length, dim) => {
    const [start, end] = cuts[dim] as [number, number];
    rows = rows.flatMap((row) =>
      Array.from({ length: end - start }, (_, i) => row * length + start + i),
    );
  });
  return Float64Array.from(rows);
}

function pickStatistics(
  statistics: NativeTensor | null,
  rows: Float64Array,
  device: string,
): NativeTensor | null {
  if (statistics === null) return null;
  const index = native.fromHost(Int32Array.from(rows), 'int32', [rows.length], 'int32', device);
  try {
    return native.gatherRows(statistics, index);
  } finally {
    index.dispose();
  }
}

inspectAs(FeatureActs, ({ shape, device }) => `[${shape.join(', ')}] on ${device}`);
