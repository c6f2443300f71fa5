import type { FeatureActs } from '../sae/feature_acts.js';
import type { Tensor } from '../tensor.js';

/** What a hook point carries: a tensor, or at hook_sae_acts_post the sparse feature activations. */
export type Activation = Tensor | FeatureActs;

/** The place a hook fires at: its full name, and the block it lies in when it lies in one. */
export interface HookPoint {
  readonly name: string;
  readonly layer?: number;
}

/** Called with the value at a point; what it returns replaces the value, nothing (or undefined) keeps it. */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook without a return statement is the usual one
export type Hook<T> = (act: T, hook: HookPoint) => T | void | Promise<T | void>;

export type SaeActsHook = `${string}hook_sae_acts_post`;

/** A point (by name, or every point whose name satisfies a predicate) and what to call there. */
export type FwdHook =
  | readonly [name: SaeActsHook, hook: Hook<FeatureActs>]
  | readonly [name: string, hook: Hook<Tensor>]
  | readonly [match: (name: string) => boolean, hook: Hook<Tensor | FeatureActs>];

export type HookMatch = string | ((name: string) => boolean);

/** Takes a hook off again; `using` does it at the end of the block. */
export interface HookHandle extends Disposable {
  remove(): void;
}

/** Which points a cache keeps: all, one, several, or those a predicate accepts. */
export type NamesFilter = string | readonly string[] | ((name: string) => boolean);

/**
 * The points of one model or SAE. A model has several spellings for a point (TransformerLens,
 * TransformerBridge, Hugging Face); `resolve` knows them, hooks fire and caches are keyed by `names`.
 */
export interface PointTable {
  /** In firing order. */
  readonly names: readonly string[];
  /** The entry of `names` a spelling stands for; undefined when there is none. */
  resolve(name: string): string | undefined;
  /** Why a point of the table cannot fire (the flag that is off), if it cannot. */
  cannotFire?(name: string): string | undefined;
  /** Points that are costly or say nothing new: a cache without a filter leaves them out. */
  onRequest?(name: string): boolean;
}

/** The block a point's name says it lies in: 12 of `blocks.12.hook_resid_post`. */
export function hookPoint(name: string): HookPoint {
  const block = /^blocks\.(\d+)\./.exec(name);
  return block === null ? { name } : { name, layer: Number(block[1]) };
}
