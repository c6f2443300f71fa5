import { MonosemError } from '../error.js';

export interface SamplingOptions {
  /** Logits are divided by it; 0 takes the likeliest token. 1 by default. */
  temperature?: number;
  /** Draw among the k likeliest. Wins over topP. */
  topK?: number;
  /** Draw among the fewest tokens whose probabilities reach it. */
  topP?: number;
  /** The same seed draws the same tokens. */
  seed?: number;
}

/** Draws next tokens from logits by temperature, top k or top p; the same for the same seed. */
export class Sampler {
  readonly isGreedy: boolean;
  readonly #temperature: number;
  readonly #topK: number | undefined;
  readonly #topP: number | undefined;
  #state: number;

  constructor({ temperature = 1, topK, topP, seed }: SamplingOptions) {
    if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
      throw refused('temperature', 'a number of at least 0', temperature);
    }
    if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
      throw refused('topK', 'a whole number of at least 1', topK);
    }
    if (topP !== undefined && !(topP > 0 && topP <= 1)) {
      throw refused('topP', 'a number above 0 and at most 1', topP);
    }
    this.isGreedy = temperature === 0;
    this.#temperature = temperature;
    this.#topK = topK;
    this.#topP = topP;
    this.#state = seed ?? Math.floor(Math.random() * 2 ** 32);
  }

  /** The token a row of logits gives. */
  draw(logits: Float32Array): number {
    const largest = logits.reduce((max, x) => Math.max(max, x), Number.NEGATIVE_INFINITY);
    const weights = Float64Array.from(logits, (x) => Math.exp((x - largest) / this.#temperature));
    const tokens = this.#candidates(logits, weights);
    const weightOf = (i: number) =>
      weights[tokens === undefined ? i : (tokens[i] as number)] as number;
    const count = tokens?.length ?? weights.length;
    let total = 0;
    for (let i = 0; i < count; i++) total += weightOf(i);
    let left = this.#uniform() * total;
    let last = 0;
    for (let i = 0; i < count; i++) {
      if (weightOf(i) === 0) continue;
      last = i;
      left -= weightOf(i);
      if (left < 0) break;
    }
    return tokens === undefined ? last : (tokens[last] as number);
  }

  /** The tokens left to draw from, likeliest first; undefined: all. */
  #candidates(logits: Float32Array, weights: Float64Array): Uint32Array | undefined {
    if (this.#topK === undefined && (this.#topP === undefined || this.#topP === 1))
      return undefined;
    const order = Uint32Array.from(logits, (_, i) => i).sort(
      (a, b) => (logits[b] as number) - (logits[a] as number) || a - b,
    );
    if (this.#topK !== undefined) return order.subarray(0, this.#topK);
    const goal = (this.#topP as number) * weights.reduce((sum, w) => sum + w, 0);
    let reached = 0;
    const end = order.findIndex((token) => {
      reached += weights[token] as number;
      return reached >= goal;
    });
    return end < 0 ? order : order.subarray(0, end + 1);
  }

  /** Mulberry32: 32 bits of state, uniform in [0, 1). */
  #uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
}

function refused(option: string, expected: string, given: unknown): MonosemError {
  return new MonosemError(
    'ERR_INVALID_ARGUMENT',
    `expected ${option} to be ${expected}, got ${String(given)}`,
  );
}
