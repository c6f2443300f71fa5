import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HubOptions } from '../../lib/hub/options.js';
import { Snapshot } from '../../lib/hub/snapshot.js';
import { type Fault, startTestHub, type TestHub } from '../support/test_hub.js';

// Between attempts at a body there is nothing to wait for here.
vi.mock(import('../../lib/hub/http.js'), async (original) => ({
  ...(await original()),
  backoff: () => 0.01,
}));

const repoId = 'someone/saes';
const path = 'weights.safetensors';
const data = randomBytes(700_000);
const sha256 = createHash('sha256').update(data).digest('hex');

let hub: TestHub;
let cacheDir: string;
const fetchFile = (more: HubOptions = {}) =>
  new Snapshot(repoId, { endpoint: hub.url, cacheDir, ...more }).file(path);
const blobs = () => join(cacheDir, 'models--someone--saes', 'blobs');
const partial = () => join(blobs(), `${sha256}.monosem.incomplete`);
const served = () => hub.requests.filter(({ server }) => server === 'cdn');
/** The n-th request to the CDN fails like this. */
const cdnFaults = (...faults: (Fault | undefined)[]) => {
  hub.fault = ({ server }) => (server === 'cdn' ? faults.shift() : undefined);
};

beforeAll(async () => {
  hub = await startTestHub();
  hub.push(repoId, { [path]: data });
});
afterAll(() => hub.close());
beforeEach(() => {
  hub.fault = () => undefined;
  hub.requests.length = 0;
  cacheDir = mkdtempSync(join(tmpdir(), 'monosem-hub-'));
});
afterEach(() => rmSync(cacheDir, { recursive: true }));

async function expectWhole(file: string): Promise<void> {
  expect(readFileSync(file).equals(data)).toBe(true);
  expect(readdirSync(blobs())).toEqual([sha256]);
}

describe('a connection that breaks', () => {
  it('is resumed where it broke, wherever that is', async () => {
    const cuts = fc.array(fc.nat({ max: 300_000 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(cuts, async (offsets) => {
        rmSync(cacheDir, { recursive: true, force: true });
        hub.requests.length = 0;
        let received = 0;
        // No cut after nothing: those are waited for, and tested below.
        cdnFaults(...offsets.map((cutAfter) => ({ cutAfter: cutAfter + 1 })));
        const onProgress = ({ loaded }: { loaded: number }) => {
          expect(loaded).toBeGreaterThan(received);
          received = loaded;
        };
        await expectWhole(await fetchFile({ onProgress }));
        const starts = served().map(({ range }) => Number(/\d+/.exec(range ?? '0')?.[0]));
        expect(starts).toEqual([...starts].sort((a, b) => a - b));
        expect(starts.length).toBeLessThanOrEqual(offsets.length + 1);
        expect(starts.slice(1).every((start) => start > 0)).toBe(true);
      }),
      { numRuns: 15 },
    );
  });

  it('is resumed by a later call', async () => {
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(partial(), data.subarray(0, 400_000));
    await expectWhole(await fetchFile());
    expect(served().map(({ range }) => range)).toEqual(['bytes=400000-']);
  });

  it('starts again where Range is not served', async () => {
    cdnFaults({ cutAfter: 100_000 }, { ignoreRange: true });
    await expectWhole(await fetchFile());
    expect(served()).toHaveLength(2);
  });

  it('is given up when nothing comes any more, and what came is kept', async () => {
    hub.fault = ({ server, range }) =>
      server === 'cdn' ? { cutAfter: range ? 0 : 65_536 } : undefined;
    const error = await fetchFile().catch((e) => e);
    const { size } = statSync(partial());
    expect(size).toBeGreaterThan(0); // fetch drops what it had not handed over
    expect(size).toBeLessThanOrEqual(65_536);
    expect(error.code).toBe('ERR_NETWORK');
    expect(error.message).toContain(`broke at ${size} of ${data.length} bytes`);
    expect(readdirSync(blobs())).toEqual([`${sha256}.monosem.incomplete`]);
    hub.fault = () => undefined;
    await expectWhole(await fetchFile());
    expect(served().at(-1)?.range).toBe(`bytes=${size}-`);
  });
});

describe('a busy hub', () => {
  it('is asked again as late as it says', async () => {
    let refusals = 2;
    hub.fault = ({ method }) =>
      method === 'HEAD' && refusals-- > 0
        ? { status: 429, headers: { 'retry-after': '1' } }
        : undefined;
    const start = performance.now();
    await expectWhole(await fetchFile());
    expect(performance.now() - start).toBeGreaterThan(1950);
  });

  it.each([500, 502, 503, 504, 408])('is asked again after HTTP %i', async (status) => {
    const now = { status, headers: { 'retry-after': '0' } };
    cdnFaults(now, now, now);
    await expectWhole(await fetchFile());
    expect(served()).toHaveLength(4);
  });

  it('understands a date, and the reset of a rate limit', async () => {
    const past = new Date(Date.now() - 1000).toUTCString();
    cdnFaults(
      { status: 503, headers: { 'retry-after': past } },
      { status: 429, headers: { ratelimit: '"resolve";r=0;t=0' } },
    );
    await expectWhole(await fetchFile());
  });

  it('is given up after five answers, or when it asks for too much patience', async () => {
    hub.fault = () => ({ status: 503, headers: { 'retry-after': '0' } });
    await expect(fetchFile()).rejects.toMatchObject({ code: 'ERR_NETWORK' });
    expect(hub.requests).toHaveLength(5);
    hub.requests.length = 0;
    hub.fault = () => ({ status: 429, headers: { 'retry-after': '3600' } });
    const error = await fetchFile().catch((e) => e);
    expect(error.code).toBe('ERR_NETWORK');
    expect(error.message).toContain('3600');
    expect(error.message).toContain('HF_TOKEN');
    expect(hub.requests).toHaveLength(1);
  });
});

describe('damaged bytes', () => {
  it('are refused, and nothing of them is kept', async () => {
    hub.fault = ({ server }) => (server === 'cdn' ? { corrupt: true } : undefined);
    const error = await fetchFile().catch((e) => e);
    expect(error.code).toBe('ERR_INTEGRITY');
    expect(error.message).toContain(sha256);
    expect(readdirSync(blobs())).toEqual([]);
    hub.fault = () => undefined;
    await expectWhole(await fetchFile());
  });

  it('of an earlier run cost one more download', async () => {
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(partial(), Buffer.alloc(100_000, 7));
    await expectWhole(await fetchFile());
    expect(served().map(({ range }) => range)).toEqual(['bytes=100000-', undefined]);
  });

  it('beyond the end of an earlier run are dropped', async () => {
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(partial(), Buffer.alloc(data.length + 1));
    await expectWhole(await fetchFile());
    expect(served().map(({ range }) => range)).toEqual([undefined]);
  });

  it('of an earlier run that had them all are noticed', async () => {
    mkdirSync(blobs(), { recursive: true });
    writeFileSync(partial(), Buffer.alloc(data.length));
    await expectWhole(await fetchFile());
  });
});

describe('a disk that does not take the bytes', () => {
  it('is not mistaken for the network', async () => {
    mkdirSync(partial(), { recursive: true });
    await expect(fetchFile()).rejects.toMatchObject({ code: 'EISDIR' });
    expect(served()).toHaveLength(0);
  });
});

describe('abort', () => {
  it('rejects at once, before and during', async () => {
    await expect(fetchFile({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    expect(hub.requests).toHaveLength(0);
    hub.fault = ({ server }) => (server === 'cdn' ? { slowMs: 200 } : undefined);
    const controller = new AbortController();
    const onProgress = () => controller.abort('enough');
    const error = await fetchFile({ signal: controller.signal, onProgress }).catch((e) => e);
    expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(existsSync(join(blobs(), sha256))).toBe(false);
    expect(readdirSync(join(cacheDir, '.locks', 'models--someone--saes'))).toEqual([]);
  });

  it('stops a wait', async () => {
    hub.fault = () => ({ status: 429, headers: { 'retry-after': '60' } });
    const start = performance.now();
    await expect(fetchFile({ signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('of one caller leaves the others their download', async () => {
    hub.fault = ({ server }) => (server === 'cdn' ? { slowMs: 20 } : undefined);
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const calls = [fetchFile({ signal: controller.signal, onProgress }), fetchFile(), fetchFile()];
    const [left, ...stayed] = await Promise.allSettled(calls);
    expect(left).toMatchObject({ status: 'rejected', reason: { code: 'ERR_ABORTED' } });
    for (const result of stayed) {
      expect(result.status).toBe('fulfilled');
      if (result.status === 'fulfilled') await expectWhole(result.value);
    }
    expect(served()).toHaveLength(1);
  });
});

describe('many at once', () => {
  it('download a file once', async () => {
    const warnings: Error[] = [];
    process.on('warning', (warning) => warnings.push(warning));
    const { signal } = new AbortController();
    const files = await Promise.all(Array.from({ length: 20 }, () => fetchFile({ signal })));
    await new Promise(setImmediate);
    expect(warnings).toEqual([]);
    expect(new Set(files).size).toBe(1);
    await expectWhole(files[0] ?? '');
    expect(served()).toHaveLength(1);
  });
});
