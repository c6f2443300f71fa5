import type { NormOptions } from '../ops.js';
import * as ops from '../ops.js';
import type { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';
import type { Frame } from './frame.js';
import type { HookPoints } from './hook_points.js';
import type { KeyValueCache } from './key_value_cache.js';
import type { RotaryTables } from './rotary.js';
import type { Tokens } from './tokens.js';
import type { ModelWeights, NormWeights } from './weights.js';

/** What does not change between forwards. */
export interface ModelCore {
  readonly cfg: ModelConfig;
  readonly weights: ModelWeights;
  readonly points: HookPoints;
  readonly rotary: RotaryTables;
}

/** What a forward asks of its hooks. */
export interface Hooks {
  /** Whether anything happens at the point. */
  listens(name: string): boolean;
  /** Whether the value may come out of it changed. */
  edits(name: string): boolean;
  /** Passes the value by everything that happens there. */
  fire(name: string, value: Tensor): Tensor | Promise<Tensor>;
}

/** One forward. */
export interface Run extends ModelCore {
  readonly hooks: Hooks;
  readonly keyValues?: KeyValueCache | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly place: Place;
}

/** The places of this forward's tokens, on the device. */
export interface Place {
  /** int32 [b, p] */
  readonly positions: Tensor;
  /** One more than the largest position. */
  readonly end: number;
  /** int32 [b, keys]; absent when causality alone decides. */
  readonly keyMask?: Tensor;
  /** Where the tokens came from, for what the host must know. */
  readonly tokens?: Tokens;
}

/** Passes a value by the hooks at a point, if there are any. */
export function tap(run: Run, name: string, value: Tensor): Tensor | Promise<Tensor> {
  return run.hooks.listens(name) ? run.hooks.fire(name, value) : value;
}

/** A norm with its two hook points; they cost nothing when nobody listens. */
export async function norm(
  run: Run,
  frame: Frame,
  x: Tensor,
  weights: NormWeights,
  points: { readonly scale: string; readonly normalized: string },
): Promise<Tensor> {
  const { hooks, cfg } = run;
  if (!hooks.listens(points.scale) && !hooks.listens(points.normalized)) {
    return frame.own(ops.norm(x, weights.w, weights.b, cfg.norm));
  }
  const parts = ops.normWithStatistics(x, weights.w, weights.b, cfg.norm);
  frame.own(parts.out);
  const scale = frame.own(parts.scale);
  let normalized = frame.own(parts.normalized);
  if (hooks.edits(points.scale)) {
    // What a hook makes of the scale divides in place of the true one.
    const centred = frame.own(normalized.mul(scale));
    normalized = frame.own(centred.div(await hooks.fire(points.scale, scale)));
  } else await tap(run, points.scale, scale);
  const flowing = await tap(run, points.normalized, normalized);
  if (!hooks.edits(points.scale) && !hooks.edits(points.normalized)) return parts.out;
  return frame.own(affine(flowing, weights, cfg.norm, x.dtype));
}

function affine(
  normalized: Tensor,
  { w, b }: NormWeights,
  { weightOffset }: NormOptions,
  dtype: Tensor['dtype'],
): Tensor {
  const made: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  let out = normalized;
  if (w !== undefined) out = keep(out.mul(weightOffset === 0 ? w : keep(w.add(weightOffset))));
  if (b !== undefined) out = keep(out.add(b));
  if (out.dtype !== dtype || out === normalized) out = keep(out.to({ dtype: dtype as never }));
  for (const tensor of made) if (tensor !== out) tensor.dispose();
  return out;
}
