import { MonosemError } from '../error.js';
import type { HookRun } from '../hooks/hook_run.js';
import type { NativeCancel } from '../native.js';
import { PrecisionCode } from '../native.js';
import type { Tensor } from '../tensor.js';
import type { SaeEngine } from './engine.js';
import { FeatureActs } from './feature_acts.js';

/** How the encoder works: "strict" (default) gives fp32's active set and values, "certified" fp32's set, "fast" the 16-bit screen alone, "float32" no screen. */
export type Precision = keyof typeof PrecisionCode;

export interface PassOptions {
  /** Before each hook's name: '' for an SAE by itself, `${point}.` for an attached one. */
  readonly prefix: string;
  readonly useErrorTerm: boolean;
  readonly precision: Precision;
  /** Places [batch, pos] that keep their original value. */
  readonly excluded?: readonly (readonly [number, number])[];
  readonly cancel?: NativeCancel | null;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One SAE's whole forward with all its hooks, in order: hook_sae_input, acts_pre, acts_post, recons,
 * error, output. `x` is what it reads and `original` what its result replaces (the same, but for
 * transcoders). Used alike for an SAE by itself and for one attached to a model.
 *
 * The reconstruction includes a skip connection and a temporal prediction. The error term is
 * `original` minus the clean reconstruction: the one just computed, unless a hook may change it. Then the
 * activations are decoded a second time as they were, or, where a hook stands before them, encoded too.
 */
export async function runSae(
  engine: SaeEngine,
  x: Tensor,
  original: Tensor,
  run: HookRun,
  options: PassOptions,
): Promise<Tensor> {
  const owned = new Set<Disposable>();
  const own = <T extends Disposable | undefined>(value: T): T => {
    if (value !== undefined) owned.add(value);
    return value;
  };
  const edits = (...hooks: string[]) =>
    options.useErrorTerm && hooks.some((hook) => run.edits(options.prefix + hook));
  try {
    const skip = own(engine.skip(x));
    let clean: Tensor | undefined;
    if (edits(INPUT, ACTS_PRE)) {
      const code = await encodeHooked(engine, x, options);
      clean = own(await decodeHooked(engine, ownCode(code, own), skip, options));
    }
    const code = ownCode(await encodeHooked(engine, x, options, run), own);
    if (clean === undefined && edits(ACTS_POST, RECONS)) {
      clean = own(await decodeHooked(engine, code, skip, options));
    }
    const recons = own(await decodeHooked(engine, code, skip, options, run));
    const out = await addError(original, recons, clean ?? recons, run, options, own);
    owned.delete(out);
    return out;
  } finally {
    for (const value of owned) value[Symbol.dispose]();
  }
}

/** Sparse activations, and what is reconstructed beside them. */
interface SparseCode {
  readonly acts: FeatureActs;
  readonly predicted?: Tensor | undefined;
}

function ownCode(code: SparseCode, own: (value: Disposable | undefined) => unknown): SparseCode {
  own(code.acts);
  own(code.predicted);
  return code;
}

const INPUT = 'hook_sae_input';
const ACTS_PRE = 'hook_sae_acts_pre';
const ACTS_POST = 'hook_sae_acts_post';
const RECONS = 'hook_sae_recons';
const ERROR = 'hook_sae_error';
const OUTPUT = 'hook_sae_output';

/** Sparse activations of `x`, without hooks. */
export async function encode(
  engine: SaeEngine,
  x: Tensor,
  options: PassOptions,
): Promise<FeatureActs> {
  const { acts, predicted } = await encodeHooked(engine, x, options);
  predicted?.dispose();
  return acts;
}

/** Sparse activations of `x`; with a run, through the hooks at input and acts_pre. */
async function encodeHooked(
  engine: SaeEngine,
  x: Tensor,
  options: PassOptions,
  run?: HookRun,
): Promise<SparseCode> {
  const { prefix, precision, cancel = null, signal } = options;
  const input = engine.input(x);
  using flat = run?.edits(prefix + INPUT) ? detached(input.flat) : input.flat;
  const shown = (await run?.fire(prefix + INPUT, flat)) ?? flat;
  const leading = shown.shape.slice(0, -1);
  const { rows: normalised, statistics } = engine.normalise(shown);
  using rows = normalised;
  const encoded = { leading, precision: codeOf(precision), cancel, signal };
  const provenance = { statistics, dHead: input.dHead };
  if (run?.edits(prefix + ACTS_PRE)) {
    const { pre, predicted } = engine.encoder.preActivations(rows, leading);
    using changed = await firePreActivations(engine, pre, leading, run, prefix);
    return { acts: engine.activate(changed, rows, leading, provenance), predicted };
  }
  if (run?.listens(prefix + ACTS_PRE)) {
    const looked = engine.encoder.preActivations(rows, leading);
    looked.predicted?.dispose();
    (await firePreActivations(engine, looked.pre, leading, run, prefix)).dispose();
  }
  const code = await engine.encode(rows, encoded);
  return { acts: engine.acts(code.acts, leading, provenance), predicted: code.predicted };
}

/** Shows pre-activations [tokens, d_sae] to the hooks; gives them back as float32 rows, and frees the others. */
async function firePreActivations(
  engine: SaeEngine,
  rows: Tensor,
  leading: readonly number[],
  run: HookRun,
  prefix: string,
): Promise<Tensor> {
  using pre = rows;
  using shown = engine.present(pre, leading);
  const changed = await run.fire(prefix + ACTS_PRE, shown);
  return engine.rows(changed, engine.cfg.dSae);
}

/** The reconstruction in the outside's shape and dtype; with a run, through the hooks at acts_post and recons. */
async function decodeHooked(
  engine: SaeEngine,
  { acts, predicted }: SparseCode,
  skip: Tensor | undefined,
  { prefix }: PassOptions,
  run?: HookRun,
): Promise<Tensor> {
  const { provenance } = acts;
  const fired = (await run?.fire<FeatureActs | Tensor>(prefix + ACTS_POST, acts)) ?? acts;
  using sparse = fired instanceof FeatureActs ? null : FeatureActs.from(fired);
  const final = sparse ?? (fired as FeatureActs);
  const leading = final.shape.slice(0, -1);
  const dHead = engine.dHeadOf(provenance);
  if (predicted === undefined && !run?.listens(prefix + RECONS)) {
    using rows = engine.decode(final, provenance);
    if (skip !== undefined) rows.addInPlace(skip);
    return engine.present(rows, leading, dHead);
  }
  using recons = engine.recons(final);
  using shown = engine.present(recons, leading);
  const changed = (await run?.fire(prefix + RECONS, shown)) ?? shown;
  using rows = engine.rows(changed, engine.dOut);
  if (predicted !== undefined) rows.addInPlace(predicted);
  using out = engine.denormalise(rows, provenance);
  if (skip !== undefined) out.addInPlace(skip);
  return engine.present(out, leading, dHead);
}

/** recons (+ error), the excluded places as they were; fires error and output. */
async function addError(
  original: Tensor,
  recons: Tensor,
  clean: Tensor,
  run: HookRun,
  { prefix, useErrorTerm, excluded = [] }: PassOptions,
  own: <T extends Disposable>(value: T) => T,
): Promise<Tensor> {
  let out = recons;
  if (useErrorTerm) {
    const error = own(original.sub(clean));
    for (const place of excluded) error.at(...place).fill(0);
    out = own(recons.add(await run.fire(prefix + ERROR, error)));
  }
  if (excluded.length > 0) {
    out = own(out.clone());
    for (const place of excluded) out.at(...place).copyFrom(original.at(...place));
  }
  return run.fire(prefix + OUTPUT, out);
}

function codeOf(precision: Precision): number {
  if (Object.hasOwn(PrecisionCode, precision)) return PrecisionCode[precision];
  throw new MonosemError(
    'ERR_INVALID_ARGUMENT',
    `precision is one of ${Object.keys(PrecisionCode).join(', ')}, got ${JSON.stringify(precision)}`,
  );
}

/** A copy, so that an edit in place does not reach what the tensor is a view of. */
function detached(view: Tensor): Tensor {
  using old = view;
  return old.clone();
}

/** Where a run's tokens are among `ids`. Throws ERR_INVALID_ARGUMENT for a run without tokens. */
export function placesOf(ids: ReadonlySet<number>, run: HookRun): [number, number][] {
  if (ids.size === 0) return [];
  if (run.tokens === undefined) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'excludeSpecialTokens needs token ids, and this forward began from activations; pass tokens or text, or turn it off',
    );
  }
  const { ids: tokens, shape } = run.tokens;
  const places: [number, number][] = [];
  for (let i = 0; i < tokens.length; i++) {
    if (ids.has(tokens[i] as number)) places.push([Math.floor(i / shape[1]), i % shape[1]]);
  }
  return places;
}
