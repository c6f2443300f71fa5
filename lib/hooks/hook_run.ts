import { MonosemError } from '../error.js';
import { type NativeTensor, native } from '../native.js';
import { FeatureActs } from '../sae/feature_acts.js';
import { unscoped } from '../scope.js';
import { Tensor } from '../tensor.js';
import type { Activation, HookPoint } from './types.js';

/** One thing that happens at a point: a splice, a user's hook, a capture, a snapshot for a cache. */
export type Step = (value: Activation, point: HookPoint, run: HookRun) => unknown;

/** Everything that happens at one point, in order. */
export interface Site {
  readonly point: HookPoint;
  readonly steps: readonly Step[];
  /** Whether a step may change the value; a snapshot does not. */
  readonly edits: boolean;
}

export interface RunTokens {
  readonly ids: ArrayLike<number>;
  readonly shape: readonly [batch: number, pos: number];
}

/**
 * The hooks of one forward pass, settled when it began: what is added or removed meanwhile counts from
 * the next one, and passes in flight at once do not see each other's hooks.
 *
 * `fire` is synchronous unless a hook was async, and costs a map look-up where nobody listens. Hooks
 * run outside every `scope`, so a tensor they keep stays theirs.
 */
export class HookRun implements Disposable {
  readonly #sites: ReadonlyMap<string, Site>;
  readonly #captured = new Map<object, NativeTensor>();
  readonly #owned = new Set<Disposable>();

  /** Token ids of the run, where it has them: [batch, pos]. */
  readonly tokens: RunTokens | undefined;

  constructor(sites: ReadonlyMap<string, Site> = new Map(), tokens?: RunTokens) {
    this.#sites = sites;
    this.tokens = tokens;
  }

  /** Whether anything happens at the point: what is costly to make need not be made otherwise. */
  listens(name: string): boolean {
    return this.#sites.has(name);
  }

  /** Whether the value may come out of the point changed. */
  edits(name: string): boolean {
    return this.#sites.get(name)?.edits ?? false;
  }

  /** The points at which something happens. */
  listened(): IterableIterator<string> {
    return this.#sites.keys();
  }

  /** Passes the value by everything at the point; gives what flows on. */
  fire<V extends Activation>(name: string, value: V): V | Promise<V> {
    const site = this.#sites.get(name);
    if (site === undefined) return value;
    return unscoped(() => this.#advance(site, 0, value)) as V | Promise<V>;
  }

  #advance(site: Site, from: number, start: Activation): Activation | Promise<Activation> {
    let value = start;
    for (let i = from; i < site.steps.length; i++) {
      const result = (site.steps[i] as Step)(value, site.point, this);
      if (isPromise(result)) {
        const before = value;
        return result.then((late) =>
          this.#advance(site, i + 1, replaced(late, before, site.point)),
        );
      }
      value = replaced(result, value, site.point);
    }
    return value;
  }

  /** Keeps what flows past a point for `owner`, by reference: in-place edits up to its use are seen. */
  capture(owner: object, value: Tensor): void {
    this.#captured.get(owner)?.dispose();
    this.#captured.set(owner, native.alias(value.handle));
  }

  /** What was captured for `owner` in this run, as a tensor the run owns. */
  captured(owner: object): Tensor | undefined {
    const handle = this.#captured.get(owner);
    return handle === undefined ? undefined : this.own(new Tensor(native.alias(handle)));
  }

  /** Frees the value when the run ends. */
  own<T extends Disposable>(value: T): T {
    this.#owned.add(value);
    return value;
  }

  /** Takes a value that outlives the run out of its care: what a forward returns goes through here. */
  release<T extends Disposable>(value: T): T {
    this.#owned.delete(value);
    return value;
  }

  [Symbol.dispose](): void {
    for (const handle of this.#captured.values()) handle.dispose();
    this.#captured.clear();
    for (const value of this.#owned) value[Symbol.dispose]();
    this.#owned.clear();
  }
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Promise<unknown> | undefined)?.then === 'function';
}

function replaced(result: unknown, before: Activation, point: HookPoint): Activation {
  if (result === undefined) return before;
  if (result instanceof Tensor || result instanceof FeatureActs) {
    const { shape } = before;
    if (result.shape.length === shape.length && result.shape.every((n, i) => n === shape[i])) {
      return result;
    }
    throw new MonosemError(
      'ERR_SHAPE',
      `a hook at '${point.name}' returned shape [${result.shape}] for an activation of shape [${shape}]; return one of the same shape`,
    );
  }
  throw new MonosemError(
    'ERR_HOOK',
    `a hook at '${point.name}' returned ${result === null ? 'null' : typeof result}; it may return a Tensor ` +
      '(FeatureActs at hook_sae_acts_post) to replace the value, or nothing to keep it',
  );
}
