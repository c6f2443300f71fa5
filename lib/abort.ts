import { MonosemError } from './error.js';
import { type NativeCancel, native } from './native.js';

/** ERR_ABORTED, with the signal's reason as cause, once the signal was aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new MonosemError('ERR_ABORTED', 'the run was aborted by its signal', {
      cause: signal.reason,
    });
  }
}

/**
 * Runs `body` with what ends its native commands when the signal is aborted; null without a signal.
 * Rejects with ERR_ABORTED once it was, even if the work was done by then.
 */
export async function cancellable<R extends Disposable>(
  signal: AbortSignal | undefined,
  body: (cancel: NativeCancel | null) => Promise<R>,
): Promise<R> {
  if (signal === undefined) return body(null);
  throwIfAborted(signal);
  const cancel = native.cancel();
  const stop = () => cancel.cancel();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const result = await body(cancel);
    if (signal.aborted) result[Symbol.dispose]();
    return result;
  } finally {
    signal.removeEventListener('abort', stop);
    throwIfAborted(signal);
  }
}
