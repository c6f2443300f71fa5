import { randomUUID } from 'node:crypto';
import {
  readFileSync,
  readlinkSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { aborted } from './errors.js';
import { pause } from './http.js';

const HEARTBEAT_MS = 2_000;
/** A holder that has not shown itself for so long is gone, or has lost the lock. */
const STALE_MS = 30_000;

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly machine: string;
}

/** What process ids are relative to: the host, and on Linux its namespace of process ids. */
function machineName(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function isStale(path: string): boolean {
  const holder = readHolder(path);
  if (holder && holder.machine === machineName() && !isAlive(holder.pid)) return true;
  const seen = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  return seen !== undefined && Date.now() - seen > STALE_MS;
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Another has removed it.
  }
}

/** Shows that the holder lives; false if the lock is no longer its own. */
function touch(path: string, holder: Holder): boolean {
  if (readHolder(path)?.id !== holder.id) return false;
  try {
    utimesSync(path, new Date(), new Date());
    return true;
  } catch {
    return false;
  }
}

function tryAcquire(path: string, holder: Holder): boolean {
  try {
    writeFileSync(path, JSON.stringify(holder), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (isStale(path)) removeQuietly(path);
    return false;
  }
}

/**
 * Runs `body` while holding a lock file, one holder at a time between promises, threads, processes
 * and machines that share the folder. A holder that died, even by kill -9, is noticed by its process
 * id at once and by its missing heartbeat elsewhere. `held` aborts when the lock was taken away (this
 * thread stood still for STALE_MS); `body` is then run again once the lock is free. Two may still
 * remove one stale lock at the same moment and both go on: what `body` does must bear that. `onWait` is
 * called now and then while another holds the lock.
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal,
  body: (held: AbortSignal) => Promise<T>,
  onWait: () => void = () => {},
): Promise<T> {
  const holder: Holder = { id: randomUUID(), pid: process.pid, machine: machineName() };
  await mkdir(dirname(path), { recursive: true });
  for (let wait = 0.02; ; wait = Math.min(0.5, wait * 1.5)) {
    if (signal.aborted) throw aborted(signal);
    if (!tryAcquire(path, holder)) {
      onWait();
      await pause(wait, signal);
      continue;
    }
    const lost = new AbortController();
    // Synchronous: after a standstill this must run before anything else of the body does.
    const heartbeat = setInterval(() => {
      if (!touch(path, holder)) lost.abort();
    }, HEARTBEAT_MS);
    heartbeat.unref();
    try {
      return await body(AbortSignal.any([signal, lost.signal]));
    } catch (error) {
      if (signal.aborted || !lost.signal.aborted) throw error;
    } finally {
      clearInterval(heartbeat);
      if (readHolder(path)?.id === holder.id) removeQuietly(path);
    }
  }
}
