import { aborted } from './errors.js';

type Report = (loaded: number) => void;

interface Running {
  readonly done: Promise<void>;
  readonly reports: Set<Report>;
  readonly stop: AbortController;
}

const running = new Map<string, Running>();

function start(key: string, work: (signal: AbortSignal, report: Report) => Promise<void>): Running {
  const reports = new Set<Report>();
  const stop = new AbortController();
  const report: Report = (loaded) => {
    for (const one of reports) one(loaded);
  };
  const done = work(stop.signal, report).finally(() => {
    if (running.get(key)?.stop === stop) running.delete(key);
  });
  const entry = { done, reports, stop };
  running.set(key, entry);
  return entry;
}

/**
 * Joins the work under `key` that is under way in this thread, or starts it. Each caller may leave by
 * its own signal; the work is stopped when the last has left.
 */
export async function joinOrStart(
  key: string,
  work: (signal: AbortSignal, report: Report) => Promise<void>,
  report: Report,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal?.aborted) throw aborted(signal);
  const entry = running.get(key) ?? start(key, work);
  let leave: (error: unknown) => void = () => {};
  const left = new Promise<never>((_, reject) => {
    leave = reject;
  });
  // This caller's alone, even if it gave another's callback; what it throws concerns only this caller.
  const own: Report = (loaded) => {
    try {
      report(loaded);
    } catch (error) {
      leave(error);
    }
  };
  entry.reports.add(own);
  const onAbort = () => signal && leave(aborted(signal));
  // A signal of its own: Node warns of eleven listeners on the caller's.
  const abort = signal && AbortSignal.any([signal]);
  abort?.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([entry.done, left]);
  } finally {
    abort?.removeEventListener('abort', onAbort);
    entry.reports.delete(own);
    if (entry.reports.size === 0 && running.get(key) === entry) {
      running.delete(key);
      entry.stop.abort(signal?.reason);
      if (signal?.aborted) await entry.done.catch(() => {});
    }
  }
}
