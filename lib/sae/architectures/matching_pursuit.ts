import { throwIfAborted } from '../../abort.js';
import { MonosemError } from '../../error.js';
import { native } from '../../native.js';
import { scope } from '../../scope.js';
import { Tensor } from '../../tensor.js';
import type { Architecture, Code, EncodeOptions, Encoder } from './architecture.js';

/**
 * Greedy coding (MP-SAE, Costa et al. 2025, arXiv 2506.03093). With residual r = x, repeat up to
 * max_iterations times: i = argmax_j relu(r . W_dec[j]), v = relu(r . W_dec[i]), f[i] += v, r -= v W_dec[i].
 * A token is done when its set of features did not change, or |r| < residual_threshold. Decoding adds
 * b_dec only where it was subtracted from the input. There is no single pre-activation.
 */
export const matchingPursuit: Architecture = {
  isTranscoder: false,
  fields: [
    { json: 'residual_threshold', name: 'residualThreshold', type: 'number', fallback: 1e-2 },
    { json: 'max_iterations', name: 'maxIterations', type: 'dimension or null', fallback: null },
    {
      json: 'stop_on_duplicate_support',
      name: 'stopOnDuplicateSupport',
      type: 'boolean',
      fallback: true,
    },
  ],
  parameters: ({ dIn, dSae }) => ({ W_dec: [dSae, dIn], b_dec: [dIn] }),
  hasPreActivations: false,
  addsDecoderBias: (cfg) => cfg.applyBDecToInput,
  encoder: (cfg, weights) =>
    new MatchingPursuitEncoder(weights.W_dec as Tensor, {
      iterations: cfg.maxIterations ?? cfg.dIn,
      threshold: cfg.residualThreshold as number,
      onDuplicate: cfg.stopOnDuplicateSupport as boolean,
    }),
};

interface Stopping {
  readonly iterations: number;
  /** 0: never by the residual's norm. */
  readonly threshold: number;
  readonly onDuplicate: boolean;
}

/** How many iterations are queued before the event loop asks whether every token is done. */
const ITERATIONS_AHEAD = 8;

class MatchingPursuitEncoder implements Encoder {
  readonly #W_dec: Tensor;
  readonly #stop: Stopping;
  #iterations = 0;

  constructor(W_dec: Tensor, stop: Stopping) {
    this.#W_dec = W_dec;
    this.#stop = stop;
  }

  async encode(x: Tensor, { signal }: EncodeOptions): Promise<Code> {
    const tokens = x.shape[0] as number;
    const dSae = this.#W_dec.shape[0] as number;
    using residual = x.clone();
    using acts = Tensor.zeros([tokens, dSae], { device: x.device });
    // 1 for tokens that go on, 0 for those that are done
    using going = Tensor.ones([tokens, 1], { device: x.device });
    let done = 0;
    while (done < this.#stop.iterations && tokens > 0) {
      scope(() => this.#step(residual, acts, going));
      done++;
      if (done % ITERATIONS_AHEAD === 0 && done < this.#stop.iterations) {
        throwIfAborted(signal);
        using any = going.max();
        if ((await any.item()) === 0) break;
      }
    }
    this.#iterations = done;
    return { acts: native.actsFromDense(acts.handle) };
  }

  /** One iteration, in place. Tokens that are done pass unchanged: their v is 0. */
  #step(residual: Tensor, acts: Tensor, going: Tensor): void {
    const best = residual.matmul(this.#W_dec.transpose(0, 1)).relu().topk(1);
    const value = best.values.mul(going);
    const before = new Tensor(native.gather(acts.handle, best.indices.handle));
    const row = new Tensor(native.gatherRows(this.#W_dec.handle, best.indices.handle));
    native.scatterAddInto(acts.handle, best.indices.handle, value.handle);
    residual.addInPlace(row.reshape(residual.shape).mul(value).neg());
    // the set of features only grows: it is the same iff the chosen one was in it, or nothing was added
    if (this.#stop.onDuplicate) going.mulInPlace(value.gt(0).mul(before.eq(0)));
    if (this.#stop.threshold > 0) {
      const small = residual.norm(1).lt(this.#stop.threshold).reshape(going.shape);
      going.mulInPlace(small.neg().add(1));
    }
  }

  preActivations(): never {
    throw noPreActivations();
  }
  activate(): never {
    throw noPreActivations();
  }

  stats(): Readonly<Record<string, number | string>> {
    return { path: 'matching pursuit', iterations: this.#iterations };
  }

  /** Nothing is made of W_dec: an encode under way goes on when the weights are edited meanwhile. */
  dispose(): void {}
}

function noPreActivations(): MonosemError {
  return new MonosemError('ERR_HOOK', 'a matching_pursuit SAE has no pre-activations');
}
