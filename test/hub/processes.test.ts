import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { downloadFile } from '../../lib/hub/snapshot.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';

const repoId = 'someone/saes';
const path = 'weights.safetensors';
const data = randomBytes(3_000_000);
const sha256 = createHash('sha256').update(data).digest('hex');
const built = new URL('../../dist/hub/snapshot.js', import.meta.url);

let hub: TestHub;
let cacheDir: string;
const repository = () => join(cacheDir, 'models--someone--saes');
const blobs = () => join(repository(), 'blobs');
const partial = () => join(blobs(), `${sha256}.monosem.incomplete`);
const lock = () => join(cacheDir, '.locks', 'models--someone--saes', `${sha256}.monosem.lock`);
const served = () => hub.requests.filter(({ server }) => server === 'cdn');

/** A program that downloads the file and prints its path: other processes run what is built. */
const program = () => `
  import { downloadFile } from ${JSON.stringify(built.href)};
  const path = await downloadFile(${JSON.stringify({ repoId, path, endpoint: hub.url, cacheDir })});
  process.stdout.write(path);
`;

function start(): ChildProcess & {
  readonly result: Promise<{ code: number | null; out: string }>;
} {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let out = '';
  child.stdout?.on('data', (text) => {
    out += text;
  });
  const result = new Promise<{ code: number | null; out: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out }));
  });
  return Object.assign(child, { result });
}

/** Looks, while `work` goes on, whether anything incomplete has the name of something complete. */
async function watchFinalName<T>(work: Promise<T>): Promise<T> {
  let over = false;
  const result = work.finally(() => {
    over = true;
  });
  while (!over) {
    if (existsSync(join(blobs(), sha256))) {
      expect(readFileSync(join(blobs(), sha256)).equals(data)).toBe(true);
    }
    await sleep(5);
  }
  return result;
}

async function partialOf(size: number): Promise<void> {
  for (;;) {
    if ((statSync(partial(), { throwIfNoEntry: false })?.size ?? 0) >= size) return;
    await sleep(5);
  }
}

function expectWhole(file: string): void {
  expect(readFileSync(file).equals(data)).toBe(true);
  expect(readdirSync(blobs())).toEqual([sha256]);
  expect(existsSync(lock())).toBe(false);
}

beforeAll(() => {
  expect(existsSync(built), 'npm test builds dist/ first').toBe(true);
});
beforeEach(async () => {
  hub = await startTestHub();
  hub.push(repoId, { [path]: data });
  hub.fault = ({ server }) => (server === 'cdn' ? { slowMs: 10 } : undefined);
  cacheDir = mkdtempSync(join(tmpdir(), 'monosem-hub-'));
});
afterEach(async () => {
  await hub.close();
  rmSync(cacheDir, { recursive: true });
});

describe('one cache', () => {
  it('is filled once by three processes and a thread', async () => {
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program())}`), {
      stdout: true,
    });
    const threadOver = new Promise<number>((resolve) => worker.on('exit', resolve));
    const processes = [start(), start(), start()].map(({ result }) => result);
    const results = await watchFinalName(Promise.all(processes));
    expect(await threadOver).toBe(0);
    for (const { code, out } of results) {
      expect(code).toBe(0);
      expectWhole(out);
    }
    expect(served()).toHaveLength(1);
  });

  it('survives kill -9 in mid-download, and the next process resumes at once', async () => {
    const victim = start();
    await partialOf(500_000);
    victim.kill('SIGKILL');
    await victim.result;
    expect(existsSync(lock())).toBe(true);
    expect(readdirSync(blobs())).toEqual([`${sha256}.monosem.incomplete`]);
    const kept = statSync(partial()).size;

    hub.fault = () => undefined;
    const begun = performance.now();
    const { code, out } = await watchFinalName(start().result);
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(code).toBe(0);
    expectWhole(out);
    expect(served().map(({ range }) => range)).toEqual([undefined, `bytes=${kept}-`]);
  });

  it('lets a waiting process take over from one that is killed', async () => {
    const victim = start();
    await partialOf(300_000);
    const heir = start();
    await sleep(300);
    victim.kill('SIGKILL');
    const { code, out } = await watchFinalName(heir.result);
    expect(code).toBe(0);
    expectWhole(out);
    expect(served()).toHaveLength(2);
    expect(served()[1]?.range).toMatch(/^bytes=[1-9]/);
  });
});

describe('a lock left behind', () => {
  const leave = (content: string, ageSeconds: number) => {
    mkdirSync(join(lock(), '..'), { recursive: true });
    writeFileSync(lock(), content);
    const then = new Date(Date.now() - ageSeconds * 1000);
    utimesSync(lock(), then, then);
  };

  it.each([
    ['another machine whose heartbeat stopped', { id: 'x', pid: 1, machine: 'elsewhere' }],
    [
      'a process id that another process has now',
      { id: 'x', pid: process.ppid, machine: hostname() },
    ],
    ['a process killed before it could write', undefined],
  ])('by %s is broken', async (_, holder) => {
    leave(holder ? JSON.stringify(holder) : '', 31);
    const { code, out } = await start().result;
    expect(code).toBe(0);
    expectWhole(out);
  });

  it('shows the progress of its holder meanwhile', async () => {
    leave(JSON.stringify({ id: 'x', pid: 1, machine: 'elsewhere' }), 0);
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(partial(), data.subarray(0, 1000));
    const onProgress = ({ loaded }: { loaded: number }) => {
      if (loaded === 1000) rmSync(lock(), { force: true });
    };
    const file = await downloadFile({ repoId, path, endpoint: hub.url, cacheDir, onProgress });
    expectWhole(file);
    expect(served()[0]?.range).toBe('bytes=1000-');
  });

  it('is respected while its holder lives', async () => {
    leave(JSON.stringify({ id: 'x', pid: 1, machine: 'elsewhere' }), 0);
    const waiting = start();
    await sleep(1500);
    expect(served()).toHaveLength(0);
    rmSync(lock());
    const { code, out } = await waiting.result;
    expect(code).toBe(0);
    expectWhole(out);
  });
});
