import type { Tensor } from '../tensor.js';

/**
 * The intermediates of one stretch of a forward, freed together. Unlike `scope` it holds across
 * awaits, and it owns only what it is given: a tensor that a hook put in place of one stays the hook's.
 */
export class Frame implements Disposable {
  readonly #owned = new Set<Tensor>();

  own(tensor: Tensor): Tensor {
    this.#owned.add(tensor);
    return tensor;
  }

  /** Takes a tensor out of this frame's care, into another's when there is one. */
  release(tensor: Tensor, to?: Frame): Tensor {
    if (this.#owned.delete(tensor)) to?.own(tensor);
    return tensor;
  }

  /** Frees a tensor now, if it is this frame's. */
  free(tensor: Tensor): void {
    if (this.#owned.delete(tensor)) tensor.dispose();
  }

  dispose(): void {
    for (const tensor of this.#owned) tensor.dispose();
    this.#owned.clear();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
