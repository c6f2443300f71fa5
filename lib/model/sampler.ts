import { MonosemError } from '../error.js';
import type { Tensor } from '../tensor.js';
import { Frame } from './frame.js';

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

/** Candidates that top p looks at first; eight times as many while they do not reach it. */
const FIRST_CANDIDATES = 256;

/**
 * Draws next tokens from logits by temperature, top k or top p; the same for the same seed. Softmax and
 * selection run on the device; the host reads candidates only.
 */
export class Sampler {
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
    this.#temperature = temperature;
    this.#topK = topK;
    this.#topP = topP;
    this.#state = seed ?? Math.floor(Math.random() * 2 ** 32);
  }

  /** A token for each row of logits [batch, d_vocab]. */
  async draw(logits: Tensor): Promise<Int32Array> {
    using frame = new Frame();
    if (this.#temperature === 0) {
      return Int32Array.from(await frame.own(logits.argmax(-1)).data());
    }
    const wide = frame.own(logits.to({ dtype: 'float32' }));
    const scaled = frame.own(wide.div(this.#temperature));
    const probabilities = frame.own(scaled.softmax(-1));
    const [batch, vocab] = logits.shape as [number, number];
    const { weights, tokens } = await this.#candidates(probabilities, vocab, frame);
    const width = weights.length / batch;
    return Int32Array.from({ length: batch }, (_, row) => {
      const chosen = this.#pick(weights.subarray(row * width, (row + 1) * width));
      return tokens === undefined ? chosen : (tokens[row * width + chosen] as number);
    });
  }

  /** Probabilities of the tokens to draw from, row by row, likeliest first; or of all, by token. */
  async #candidates(
    probabilities: Tensor,
    vocab: number,
    frame: Frame,
  ): Promise<{ weights: Float32Array; tokens?: Int32Array }> {
    const read = async (count: number) => {
      const { values, indices } = probabilities.topk(Math.min(count, vocab));
      frame.own(values);
      frame.own(indices);
      const weights = (await values.data()) as Float32Array;
      return { weights, tokens: (await indices.data()) as Int32Array };
    };
    if (this.#topK !== undefined) return read(this.#topK);
    const goal = this.#topP;
    if (goal === undefined || goal === 1) {
      return { weights: (await probabilities.data()) as Float32Array };
    }
    for (let count = FIRST_CANDIDATES; ; count *= 8) {
      const { weights, tokens } = await read(count);
      const width = Math.min(count, vocab);
      let isEnough = true;
      for (let at = 0; at < weights.length; at += width) {
        const reached = cutAt(weights.subarray(at, at + width), goal);
        isEnough &&= reached || width === vocab;
      }
      if (isEnough) return { weights, tokens };
    }
  }

  /** An index with the weights' odds. */
  #pick(weights: Float32Array): number {
    let left = this.#uniform() * weights.reduce((sum, weight) => sum + weight, 0);
    let last = 0;
    for (let i = 0; i < weights.length; i++) {
      const weight = weights[i] as number;
      if (weight === 0) continue;
      last = i;
      left -= weight;
      if (left < 0) break;
    }
    return last;
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

/** Clears the weights behind the one that reaches the goal; whether any does. */
function cutAt(weights: Float32Array, goal: number): boolean {
  let reached = 0;
  for (let i = 0; i < weights.length; i++) {
    reached += weights[i] as number;
    if (reached < goal) continue;
    weights.fill(0, i + 1);
    return true;
  }
  return false;
}

function refused(option: string, expected: string, given: unknown): MonosemError {
  return new MonosemError(
    'ERR_INVALID_ARGUMENT',
    `expected ${option} to be ${expected}, got ${String(given)}`,
  );
}
