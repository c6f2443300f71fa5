import { MonosemError } from '../error.js';
import { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';
import type { Tokens } from './tokens.js';

interface LayerCache {
  k: Tensor;
  v: Tensor;
  capacity: number;
}

/**
 * Keys and values of the tokens a model has read, so that the next forward computes only new ones.
 * Keys are kept after norm and rotation, which depend on the token's own place alone. Buffers
 * [b, capacity, n_kv, d_head] double when full; reads are views.
 */
export class KeyValueCache implements Disposable {
  readonly #cfg: ModelConfig;
  readonly #layers: (LayerCache | undefined)[] = [];
  #batch = 0;
  #length = 0;
  #masks: Uint8Array[] = [];
  #realCounts = new Int32Array(0);

  constructor(cfg: ModelConfig) {
    this.#cfg = cfg;
  }

  /** Positions held, pads included. */
  get length(): number {
    return this.#length;
  }

  /** Real tokens of each row so far: the position of its next one. */
  get realCounts(): Int32Array {
    return this.#realCounts;
  }

  /** Per row, 1 where a held position is a real token. */
  get masks(): readonly Uint8Array[] {
    return this.#masks;
  }

  /** Notes the tokens of a forward once all layers have appended theirs. */
  advance(tokens: Tokens): void {
    const [batch, length] = tokens.shape;
    if (this.#length === 0) this.#begin(batch);
    this.#masks = this.#masks.map((held, row) => {
      const next = new Uint8Array(held.length + length).fill(1, held.length);
      next.set(held);
      if (tokens.mask)
        next.set(tokens.mask.subarray(row * length, (row + 1) * length), held.length);
      this.#realCounts[row] = next.reduce((sum, real) => sum + real, 0);
      return next;
    });
    this.#length += length;
  }

  #begin(batch: number): void {
    this.#batch = batch;
    this.#realCounts = new Int32Array(batch);
    this.#masks = Array.from({ length: batch }, () => new Uint8Array(0));
  }

  /** Adds a layer's new keys and values [b, p, n_kv, d_head]; gives views of all of them. */
  append(layer: number, k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
    const [batch, added] = k.shape as [number, number];
    if (this.#length > 0 && batch !== this.#batch) {
      throw new MonosemError(
        'ERR_SHAPE',
        `the key-value cache holds a batch of ${this.#batch}, got a batch of ${batch}`,
      );
    }
    const end = this.#length + added;
    const cache = this.#reserve(layer, batch, end, k);
    for (const [buffer, fresh] of [
      [cache.k, k],
      [cache.v, v],
    ] as const) {
      const window = buffer.slice(null, [this.#length, end]);
      window.copyFrom(fresh);
      window.dispose();
    }
    return { k: cache.k.slice(null, [0, end]), v: cache.v.slice(null, [0, end]) };
  }

  #reserve(layer: number, batch: number, needed: number, like: Tensor): LayerCache {
    const old = this.#layers[layer];
    if (old !== undefined && old.capacity >= needed) return old;
    const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(needed)));
    const shape = [batch, capacity, this.#cfg.nKeyValueHeads, this.#cfg.dHead];
    const options = { device: like.device, dtype: this.#cfg.dtype };
    const grown = { k: Tensor.zeros(shape, options), v: Tensor.zeros(shape, options), capacity };
    if (old !== undefined) {
      for (const key of ['k', 'v'] as const) {
        const held = old[key].slice(null, [0, this.#length]);
        const window = grown[key].slice(null, [0, this.#length]);
        window.copyFrom(held);
        for (const tensor of [held, window, old[key]]) tensor.dispose();
      }
    }
    this.#layers[layer] = grown;
    return grown;
  }

  dispose(): void {
    for (const layer of this.#layers) {
      layer?.k.dispose();
      layer?.v.dispose();
    }
    this.#layers.length = 0;
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
