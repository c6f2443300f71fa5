import { MonosemError } from '../error.js';
import type { Csr } from '../native.js';

export interface FeatureHit {
  readonly feature: number;
  readonly value: number;
}

/** NaN counts as the largest value, as in every top-k here. */
function strongestFirst(a: FeatureHit, b: FeatureHit): number {
  return Number(Number.isNaN(b.value)) - Number(Number.isNaN(a.value)) || b.value - a.value || 0;
}

/** One token's active features, on the host, strongest first. */
export class FeatureRow implements Iterable<FeatureHit> {
  /** Ascending features and their values, as stored. */
  readonly #features: Uint32Array;
  readonly #values: Float32Array;
  #strongest: FeatureHit[] | undefined;

  /** @internal */
  constructor(features: Uint32Array, values: Float32Array) {
    this.#features = features;
    this.#values = values;
  }

  /** How many features are active. */
  get length(): number {
    return this.#features.length;
  }

  /** The value of a feature, 0 where it is not active. */
  get(feature: number): number {
    let low = 0;
    let high = this.#features.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#features[middle] as number) < feature) low = middle + 1;
      else high = middle;
    }
    return this.#features[low] === feature ? (this.#values[low] as number) : 0;
  }

  /** The k strongest, fewer when fewer are active; equal values in ascending order of feature. */
  topk(k: number): FeatureHit[] {
    if (!Number.isInteger(k) || k < 0) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `topk expects k to be a whole number of at least 0, got ${k}`,
      );
    }
    return this.#sorted().slice(0, k);
  }

  [Symbol.iterator](): Iterator<FeatureHit> {
    return this.#sorted()[Symbol.iterator]();
  }

  #sorted(): FeatureHit[] {
    this.#strongest ??= Array.from(this.#features, (feature, i) => ({
      feature,
      value: this.#values[i] as number,
    })).sort(strongestFirst);
    return this.#strongest;
  }
}

/** The rows of FeatureActs on the host, in row-major order of the leading dimensions. */
export class FeatureRows implements Iterable<FeatureRow> {
  readonly #csr: Csr;
  readonly #leading: readonly number[];

  /** @internal `leading` is the shape without its last dimension. */
  constructor(csr: Csr, leading: readonly number[]) {
    this.#csr = csr;
    this.#leading = leading;
  }

  /** The row of one token: an index per leading dimension, negatives from the end. */
  at(...index: number[]): FeatureRow {
    if (index.length !== this.#leading.length) {
      throw new MonosemError(
        'ERR_SHAPE',
        `at() expects ${this.#leading.length} indices, one per dimension of [${this.#leading}], got ${index.length}`,
      );
    }
    let row = 0;
    this.#leading.forEach((length, dim) => {
      const given = index[dim] as number;
      const at = given < 0 ? given + length : given;
      if (!Number.isInteger(at) || at < 0 || at >= length) {
        throw new MonosemError(
          'ERR_SHAPE',
          `index ${given} is out of range for dimension ${dim} of length ${length}`,
        );
      }
      row = row * length + at;
    });
    return this.#row(row);
  }

  *[Symbol.iterator](): Generator<FeatureRow> {
    for (let row = 0; row + 1 < this.#csr.rowOffsets.length; row++) yield this.#row(row);
  }

  #row(row: number): FeatureRow {
    const start = this.#csr.rowOffsets[row] as number;
    const end = this.#csr.rowOffsets[row + 1] as number;
    return new FeatureRow(
      this.#csr.indices.subarray(start, end),
      this.#csr.values.subarray(start, end),
    );
  }
}
