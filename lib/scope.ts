import { MonosemError } from './error.js';

/** What was made since each enclosing `scope` began, innermost last; undefined where none collects. */
const frames: (Set<Disposable> | undefined)[] = [];

/** Lets the innermost scope, if there is one, free `made` when it ends. */
export function track(made: Disposable): void {
  if (frames.length > 0) frames.at(-1)?.add(made);
}

/**
 * Frees every tensor made inside, but what is returned: a tensor, or tensors in an array, a plain
 * object, a Map. The body is synchronous (ERR_INVALID_ARGUMENT for a promise); for async work dispose
 * by hand or with `using`.
 */
export function scope<R>(body: () => R): R {
  const frame = new Set<Disposable>();
  frames.push(frame);
  let result: R;
  try {
    result = body();
  } catch (error) {
    frames.pop();
    for (const made of frame) made[Symbol.dispose]();
    throw error;
  }
  frames.pop();
  if (result instanceof Promise) {
    for (const made of frame) made[Symbol.dispose]();
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'scope() expects a synchronous body, got a promise; await outside and dispose by hand or with `using`',
    );
  }
  const kept = reachable(result, frame);
  for (const made of frame) {
    if (kept.has(made)) track(made);
    else made[Symbol.dispose]();
  }
  return result;
}

/** Runs code whose tensors no enclosing `scope` frees: what hooks make and keep is theirs. */
export function unscoped<R>(body: () => R): R {
  frames.push(undefined);
  try {
    return body();
  } finally {
    frames.pop();
  }
}

/** What of `frame` can be reached from `value`: itself, or in arrays, plain objects and Maps. */
export function reachable(value: unknown, frame: ReadonlySet<unknown>): ReadonlySet<unknown> {
  const kept = new Set<unknown>();
  collect(value, frame, kept, 0);
  return kept;
}

/** Adds to `kept` what of `frame` is reachable from `value`, a few levels deep. */
function collect(
  value: unknown,
  frame: ReadonlySet<unknown>,
  kept: Set<unknown>,
  depth: number,
): void {
  if (frame.has(value)) kept.add(value);
  else if (depth > 4 || value === null || typeof value !== 'object') return;
  else if (value instanceof Map)
    for (const item of value.values()) collect(item, frame, kept, depth + 1);
  else if (!ArrayBuffer.isView(value))
    for (const item of Object.values(value)) collect(item, frame, kept, depth + 1);
}
