import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withLock } from '../../lib/hub/lock.js';

const { signal } = new AbortController();
let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'monosem-lock-'));
  path = join(folder, 'a', 'b.lock');
});
afterEach(() => rmSync(folder, { recursive: true }));

it('lets one holder in at a time, and leaves nothing', async () => {
  let inside = 0;
  let most = 0;
  const body = async () => {
    most = Math.max(most, ++inside);
    await sleep(10);
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(path, signal, body)));
  expect(most).toBe(1);
  expect(readdirSync(join(folder, 'a'))).toEqual([]);
});

it('returns what the body returns, and is free again when the body throws', async () => {
  await expect(
    withLock(path, signal, async () => {
      throw new RangeError('mine');
    }),
  ).rejects.toThrow('mine');
  expect(await withLock(path, signal, async () => 7)).toBe(7);
});

it('tells a holder that lost it, and runs it again', async () => {
  let runs = 0;
  const other = JSON.stringify({ id: 'other', pid: process.pid, machine: 'elsewhere' });
  const result = await withLock(path, signal, async (held) => {
    if (++runs === 2) return 'second';
    writeFileSync(path, other);
    await new Promise((resolve) => held.addEventListener('abort', resolve));
    expect(readFileSync(path, 'utf8')).toBe(other);
    rmSync(path);
    throw held.reason;
  });
  expect(result).toBe('second');
  expect(existsSync(path)).toBe(false);
});

it('does not wait past an abort', async () => {
  writeFileSync(join(folder, 'held'), JSON.stringify({ id: 'x', pid: 1, machine: 'elsewhere' }));
  const waiting = withLock(join(folder, 'held'), AbortSignal.timeout(50), async () => {});
  await expect(waiting).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(existsSync(join(folder, 'held'))).toBe(true);
});
