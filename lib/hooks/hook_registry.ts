import { MonosemError } from '../error.js';
import type { Tensor } from '../tensor.js';
import type { ActivationCache } from './activation_cache.js';
import { HookRun, type RunTokens, type Site, type Step } from './hook_run.js';
import {
  type Activation,
  type FwdHook,
  type HookHandle,
  type HookMatch,
  type HookPoint,
  hookPoint,
  type NamesFilter,
  type PointTable,
} from './types.js';
import { unknownHook } from './unknown.js';

/** Something that stands at a point of a model and replaces its value before the point's hooks: an attached SAE. */
export interface Splice {
  /** The point whose value is replaced; one splice per point. */
  readonly point: string;
  /** Where its input is taken, when that is another point (transcoders). */
  readonly inputPoint?: string;
  /** The hook points it adds, in firing order: `${point}.hook_sae_input`, ... */
  readonly names: readonly string[];
  /** Why a name it might have added cannot fire. */
  cannotFire?(name: string): string | undefined;
  apply(value: Tensor, run: HookRun): Tensor | Promise<Tensor>;
}

export interface RunOptions {
  /** Hooks of this run alone; they come after the registry's. */
  fwdHooks?: readonly FwdHook[] | undefined;
  /** Splices of this run alone; one replaces what is attached at its point. */
  splices?: readonly Splice[] | undefined;
  /** Filled with snapshots of the points that `namesFilter` lets through (all, when there is none). */
  cache?: ActivationCache | undefined;
  namesFilter?: NamesFilter | undefined;
  /** What the run is about, for splices that treat some tokens differently. */
  tokens?: RunTokens | undefined;
}

/** A hook whatever it takes: the point it is added at decides. */
type AnyHook = (act: never, hook: HookPoint) => unknown;

interface Happening {
  /** A canonical name, or a predicate over them. */
  readonly match: HookMatch;
  readonly step: Step;
}

interface Registration extends Happening {
  readonly permanent: boolean;
}

/** The hooks and splices that stay on a model (or an SAE) between runs, and the making of runs. */
export class HookRegistry {
  readonly #table: PointTable;
  #registrations: Registration[] = [];
  readonly #splices = new Map<string, { splice: Splice; capture: Registration | undefined }>();

  constructor(table: PointTable) {
    this.#table = table;
  }

  /** Every point by its canonical name, those of attached SAEs after the point they sit at. */
  names(): readonly string[] {
    return this.#names(this.splices());
  }

  splices(): readonly Splice[] {
    return [...this.#splices.values()].map(({ splice }) => splice);
  }

  splice(point: string): Splice | undefined {
    return this.#splices.get(point)?.splice;
  }

  /** The canonical name of a point; throws ERR_HOOK, naming the nearest, when there is none or it cannot fire. */
  resolve(name: string): string {
    return this.#resolve(name, this.splices());
  }

  /** The canonical name of a point by any spelling, whether it can fire or not; undefined when there is none. */
  find(name: string): string | undefined {
    return this.#spell(name)?.full;
  }

  /**
   * Calls `hook` at the point (or at every point whose name satisfies the predicate) in every run from
   * now on. Throws ERR_HOOK for a name that does not exist or cannot fire.
   */
  add(match: HookMatch, hook: AnyHook, options: { permanent?: boolean } = {}): HookHandle {
    const at = typeof match === 'function' ? match : this.resolve(match);
    return this.#register({ match: at, step: asStep(hook), permanent: options.permanent ?? false });
  }

  /** Removes the hooks that `add` made; permanent ones only when asked. */
  reset(options: { includingPermanent?: boolean } = {}): void {
    const captures = new Set([...this.#splices.values()].map(({ capture }) => capture));
    const all = options.includingPermanent ?? false;
    this.#registrations = this.#registrations.filter(
      (registration) => captures.has(registration) || (registration.permanent && !all),
    );
  }

  /** Puts a splice at its point in every run from now on; the one that was there is returned. */
  attach(splice: Splice): Splice | undefined {
    const before = this.detach(splice.point);
    const capture = captureOf(splice);
    if (capture !== undefined) this.#registrations.push(capture);
    this.#splices.set(splice.point, { splice, capture });
    return before;
  }

  detach(point: string): Splice | undefined {
    const attached = this.#splices.get(point);
    if (attached === undefined) return undefined;
    this.#registrations = this.#registrations.filter((r) => r !== attached.capture);
    this.#splices.delete(point);
    return attached.splice;
  }

  /**
   * Settles what happens at which point of one run. Order at a point: the splice; the registry's hooks
   * in the order they were added; this run's; last the snapshot for the cache.
   */
  begin(options: RunOptions = {}): HookRun {
    const own = options.splices ?? [];
    const splices = new Map(this.splices().map((splice) => [splice.point, splice]));
    for (const splice of own) splices.set(splice.point, splice);
    const attached = [...splices.values()];
    const captures = own
      .filter((splice) => splices.get(splice.point) === splice)
      .map(captureOf)
      .filter((capture) => capture !== undefined);
    const replaced = new Set(
      own.map(({ point }) => this.#splices.get(point)?.capture).filter((c) => c !== undefined),
    );
    const hooks = (options.fwdHooks ?? []).map(([match, hook]) => ({
      match: typeof match === 'function' ? match : this.#resolve(match, attached),
      step: asStep(hook),
    }));
    const registrations = [
      ...this.#registrations.filter((registration) => !replaced.has(registration)),
      ...captures,
      ...hooks,
    ];
    const snapshots =
      options.cache && this.#snapshots(options.cache, options.namesFilter, attached);
    const sites = this.#sites(splices, registrations, snapshots ?? [], attached);
    return new HookRun(sites, options.tokens);
  }

  #sites(
    splices: ReadonlyMap<string, Splice>,
    registrations: readonly Happening[],
    snapshots: readonly Happening[],
    attached: readonly Splice[],
  ): Map<string, Site> {
    const sites = new Map<string, Site & { steps: Step[]; edits: boolean }>();
    if (splices.size + registrations.length + snapshots.length === 0) return sites;
    const names = this.#names(attached);
    const known = new Set(names);
    const put = (name: string, step: Step, edits: boolean): void => {
      const site = sites.get(name) ?? { point: hookPoint(name), steps: [], edits: false };
      site.steps.push(step);
      site.edits ||= edits;
      sites.set(name, site);
    };
    const putAll = (happenings: readonly Happening[], edits: boolean): void => {
      for (const { match, step } of happenings) {
        if (typeof match === 'function') {
          for (const name of names.filter(match)) put(name, step, edits);
          // a hook stays when the SAE whose point it named is detached, and fires when it is back
        } else if (known.has(match)) put(match, step, edits);
      }
    };
    for (const splice of splices.values()) put(splice.point, applying(splice), true);
    putAll(registrations, true);
    putAll(snapshots, false);
    return sites;
  }

  #snapshots(
    cache: ActivationCache,
    filter: NamesFilter | undefined,
    attached: readonly Splice[],
  ): Happening[] {
    const step: Step = (value, point) => cache.record(point.name, value.clone());
    if (filter === undefined) {
      return [{ match: (name) => this.#table.onRequest?.(name) !== true, step }];
    }
    if (typeof filter === 'function') return [{ match: filter, step }];
    const names = typeof filter === 'string' ? [filter] : filter;
    const points = new Set(names.map((name) => this.#resolve(name, attached)));
    return [...points].map((match) => ({ match, step }));
  }

  #register(registration: Registration): HookHandle {
    this.#registrations.push(registration);
    const remove = () => {
      this.#registrations = this.#registrations.filter((other) => other !== registration);
    };
    return { remove, [Symbol.dispose]: remove };
  }

  #names(attached: readonly Splice[]): readonly string[] {
    if (attached.length === 0) return this.#table.names;
    const added = new Map(attached.map(({ point, names }) => [point, names]));
    return this.#table.names.flatMap((name) => [...(added.get(name) ?? []), name]);
  }

  /** Turns any spelling into the canonical one; for an SAE's own point, through the point it sits at. */
  #spell(name: string): { readonly full: string; readonly base?: string } | undefined {
    const direct = this.#table.resolve(name);
    if (direct !== undefined) return { full: direct };
    const split = name.lastIndexOf('.hook_sae_');
    const base = split < 0 ? undefined : this.#table.resolve(name.slice(0, split));
    return base === undefined ? undefined : { full: base + name.slice(split), base };
  }

  #resolve(name: string, attached: readonly Splice[]): string {
    if (typeof name !== 'string') {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `a hook is given for a name (string) or a predicate over names, not for ${typeof name}`,
      );
    }
    const spelled = this.#spell(name);
    const splice = attached.find(({ point }) => point === spelled?.base);
    if (spelled === undefined || (spelled.base !== undefined && splice === undefined)) {
      const why = name.includes('.hook_sae_') ? ' (no SAE is attached there)' : '';
      throw unknownHook(name, this.#names(attached), why);
    }
    const reason = (splice ?? this.#table).cannotFire?.(spelled.full);
    if (reason !== undefined) {
      throw new MonosemError('ERR_HOOK', `the hook point '${name}' cannot fire: ${reason}`);
    }
    if (splice !== undefined && !splice.names.includes(spelled.full)) {
      throw unknownHook(name, this.#names(attached));
    }
    return spelled.full;
  }
}

function applying(splice: Splice): Step {
  return async (value, _point, run) => run.own(await splice.apply(value as Tensor, run));
}

/** A transcoder's input is taken at its place among the hooks of that point: later replacements there are not seen. */
function captureOf(splice: Splice): Registration | undefined {
  const match = splice.inputPoint;
  if (match === undefined || match === splice.point) return undefined;
  const step: Step = (value, _point, run) => run.capture(splice, value as Tensor);
  return { match, step, permanent: true };
}

function asStep(hook: AnyHook): Step {
  if (typeof hook !== 'function') {
    throw new MonosemError('ERR_INVALID_ARGUMENT', `a hook is a function, not ${typeof hook}`);
  }
  return (value: Activation, point) => hook(value as never, point);
}
