import { MonosemError } from '../error.js';
import { inspectAs } from '../inspect.js';
import type { FeatureActs } from '../sae/feature_acts.js';
import type { Tensor } from '../tensor.js';
import { actName } from './short_names.js';
import type { Activation, SaeActsHook } from './types.js';
import { unknownHook } from './unknown.js';

/**
 * What the points of one run carried, in firing order. Entries are snapshots: later in-place edits do
 * not change them. The cache owns them; dispose it, or keep single tensors by `clone`.
 */
export class ActivationCache implements Disposable, Iterable<[string, Tensor | FeatureActs]> {
  readonly #entries = new Map<string, Activation>();
  readonly #resolve: (name: string) => string | undefined;
  readonly #layers: number;
  #disposed = false;

  /**
   * @internal `resolve` turns any spelling of a point into the one entries are stored under; `layers`
   * is what a negative layer counts from.
   */
  constructor(resolve: (name: string) => string | undefined = (name) => name, layers = 0) {
    this.#resolve = resolve;
    this.#layers = layers;
  }

  /** @internal Takes ownership of the value; a point that fires again keeps the last one. */
  record(name: string, value: Activation): void {
    this.#entries.get(name)?.dispose();
    this.#entries.set(name, value);
  }

  get(name: SaeActsHook): FeatureActs;
  get(name: string): Tensor;
  /** Short form: get("resid_post", 5), get("pattern", 0), get("scale", 4, "ln1"); -1 is the last layer. */
  get(name: string, layer: number, layerType?: string): Tensor;
  get(name: string, layer?: number, layerType?: string): Activation {
    this.#alive();
    const full = this.#fullName(name, layer, layerType);
    const value = this.#lookUp(full);
    if (value === undefined) throw unknownHook(full, this.#entries.keys(), ' in this cache');
    return value;
  }

  has(name: string): boolean {
    this.#alive();
    return this.#lookUp(this.#fullName(name)) !== undefined;
  }

  keys(): readonly string[] {
    this.#alive();
    return [...this.#entries.keys()];
  }

  get size(): number {
    this.#alive();
    return this.#entries.size;
  }

  [Symbol.iterator](): Iterator<[string, Tensor | FeatureActs]> {
    this.#alive();
    return this.#entries.entries();
  }

  dispose(): void {
    this.#disposed = true;
    for (const value of this.#entries.values()) value.dispose();
    this.#entries.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** A full name of any spelling ("lm_head") stays; the rest are short forms. */
  #fullName(name: string, layer?: number, layerType?: string): string {
    if (layer === undefined && layerType === undefined && this.#lookUp(name)) return name;
    const block = layer !== undefined && layer < 0 ? layer + this.#layers : layer;
    return actName(name, block, layerType);
  }

  #lookUp(full: string): Activation | undefined {
    const point = this.#entries.has(full) ? full : this.#resolve(full);
    return point === undefined ? undefined : this.#entries.get(point);
  }

  #alive(): void {
    if (this.#disposed) {
      throw new MonosemError('ERR_DISPOSED', 'this activation cache was disposed; run again');
    }
  }
}

inspectAs(ActivationCache, (cache) => `of ${cache.size}: ${cache.keys().join(', ')}`);
