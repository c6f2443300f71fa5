import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HubOptions, Progress } from '../../lib/hub/options.js';
import { downloadFile, Snapshot } from '../../lib/hub/snapshot.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';

const repoId = 'someone/saes';
const config = 'layer_0/cfg.json';
const weights = 'layer_0/sae_weights.safetensors';
const cfg = '{"architecture": "standard"}';
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));

let hub: TestHub;
let cacheDir: string;
let commit: string;
const snapshot = (more: HubOptions = {}) =>
  new Snapshot(repoId, { endpoint: hub.url, cacheDir, ...more });
const under = (...parts: string[]) => join(cacheDir, 'models--someone--saes', ...parts);
const asked = () => hub.requests.splice(0).map(({ method, path }) => `${method} ${path}`);

beforeEach(async () => {
  hub = await startTestHub({ pageSize: 2 });
  commit = hub.push(repoId, { [config]: cfg, [weights]: bytes });
  cacheDir = mkdtempSync(join(tmpdir(), 'monosem-hub-'));
});

afterEach(async () => {
  await hub.close();
  rmSync(cacheDir, { recursive: true });
});

describe('the cache', () => {
  it("is laid out as Python's", async () => {
    const repo = snapshot();
    const small = await repo.file(config);
    const large = await repo.file(weights);
    expect(repo.commit).toBe(commit);
    expect(readFileSync(small, 'utf8')).toBe(cfg);
    expect(readFileSync(large).equals(bytes)).toBe(true);
    expect(small).toBe(under('snapshots', commit, 'layer_0', 'cfg.json'));
    expect(readFileSync(under('refs', 'main'), 'utf8')).toBe(commit);
    expect(readlinkSync(large)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readlinkSync(small)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(readdirSync(under('blobs'))).toHaveLength(2);
    expect(readdirSync(under('snapshots', commit, 'layer_0')).sort()).toEqual([
      'cfg.json',
      'sae_weights.safetensors',
    ]);
    expect(readdirSync(join(cacheDir, '.locks', 'models--someone--saes'))).toEqual([]);
  });

  it('serves what Python left there, and shares blobs between commits', async () => {
    await snapshot().file(weights);
    hub.push(repoId, { [config]: 'new' });
    asked();
    const later = snapshot();
    expect(readFileSync(await later.file(weights)).equals(bytes)).toBe(true);
    expect(asked()).toEqual([`HEAD /${repoId}/resolve/main/${weights}`]);

    const python = 'f'.repeat(40);
    mkdirSync(under('snapshots', python), { recursive: true });
    writeFileSync(under('blobs', 'aa'), 'theirs');
    symlinkSync('../../blobs/aa', under('snapshots', python, 'x.json'));
    const path = await snapshot({ revision: python }).file('x.json');
    expect(readFileSync(path, 'utf8')).toBe('theirs');
  });

  it('costs one HEAD for a branch and nothing for a commit', async () => {
    const cold = snapshot();
    await cold.file(config);
    await cold.file(weights);
    asked();
    const warm = snapshot();
    await Promise.all([warm.file(config), warm.file(weights)]);
    expect(asked()).toHaveLength(2); // a HEAD and its redirect within the hub
    const pinned = snapshot({ revision: commit });
    await Promise.all([pinned.file(config), pinned.file(weights)]);
    expect(asked()).toEqual([]);
  });

  it('replaces a link that leads nowhere and a blob of the wrong size', async () => {
    const path = await snapshot().file(config);
    const blob = under('blobs', readdirSync(under('blobs'))[0] ?? '');
    writeFileSync(blob, 'x');
    rmSync(path);
    symlinkSync('../../../blobs/none', path);
    expect(readFileSync(await snapshot().file(config), 'utf8')).toBe(cfg);
  });

  it('downloads again when forced', async () => {
    const path = await snapshot().file(weights);
    writeFileSync(under('blobs', readdirSync(under('blobs'))[0] ?? ''), Buffer.alloc(bytes.length));
    expect(readFileSync(await snapshot().file(weights)).equals(bytes)).toBe(false);
    expect(await snapshot({ forceDownload: true }).file(weights)).toBe(path);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  it('downloads one file by its repository and path', async () => {
    const path = await downloadFile({ repoId, path: config, endpoint: hub.url, cacheDir });
    expect(path).toBe(under('snapshots', commit, config));
  });
});

describe('one commit', () => {
  it('holds for every file, even when the branch moves in between', async () => {
    const repo = snapshot();
    await repo.file(config);
    hub.push(repoId, { [weights]: 'moved' });
    expect(readFileSync(await repo.file(weights)).equals(bytes)).toBe(true);
    expect(readFileSync(await snapshot().file(weights), 'utf8')).toBe('moved');
  });

  it('holds for files asked for at once', async () => {
    let pushed = false;
    hub.fault = ({ path }) => {
      if (!pushed && path.includes('/resolve-cache/')) {
        pushed = true;
        hub.push(repoId, { [weights]: 'moved', [config]: 'moved' });
      }
      return undefined;
    };
    const repo = snapshot();
    const [small = '', large = ''] = await Promise.all([config, weights].map((p) => repo.file(p)));
    expect(pushed).toBe(true);
    expect(readFileSync(small, 'utf8')).toBe(cfg);
    expect(readFileSync(large).equals(bytes)).toBe(true);
  });

  it('holds for a listing, and is every page of it', async () => {
    hub.push(repoId, { 'a.txt': 'a', 'b c.txt': 'b', 'layer_1/cfg.json': cfg });
    const repo = snapshot();
    const listed = await repo.list();
    hub.push(repoId, { 'z.txt': 'z' });
    expect(listed).toEqual(await repo.list());
    expect(listed).toHaveLength(5);
    expect(listed).toContainEqual({ path: weights, size: bytes.length });
    expect((await repo.list('layer_0')).map(({ path }) => path).sort()).toEqual([config, weights]);
    expect(readFileSync(await repo.file('b c.txt'), 'utf8')).toBe('b');
    await expect(repo.file('z.txt')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  });
});

describe('a file that is not there', () => {
  it('is undefined when tried, and ERR_NOT_FOUND with the page to look at otherwise', async () => {
    const repo = snapshot();
    expect(await repo.tryFile('layer_0/sparsity.safetensors')).toBeUndefined();
    expect(repo.commit).toBe(commit);
    const error = await repo.file('layer_0/nothing.json').catch((e) => e);
    expect(error.code).toBe('ERR_NOT_FOUND');
    expect(error.message).toContain('layer_0/nothing.json');
    expect(error.message).toContain(`${hub.url}/${repoId}/tree/main`);
  });

  it('is remembered for its commit', async () => {
    await snapshot().tryFile('none.json');
    expect(existsSync(under('.no_exist', commit, 'none.json'))).toBe(true);
    asked();
    expect(await snapshot({ revision: commit }).tryFile('none.json')).toBeUndefined();
    expect(asked()).toEqual([]);
  });

  it('has a revision of its own to be missing', async () => {
    const error = await snapshot({ revision: 'v9' })
      .tryFile(config)
      .catch((e) => e);
    expect(error).toMatchObject({ code: 'ERR_NOT_FOUND' });
    expect(error.message).toContain('"v9"');
    expect(error.message).toContain(`${hub.url}/${repoId}/refs`);
  });
});

describe('offline', () => {
  it('serves the cache, and says what is not in it', async () => {
    await snapshot().file(config);
    asked();
    const repo = snapshot({ offline: true });
    expect(readFileSync(await repo.file(config), 'utf8')).toBe(cfg);
    expect(await repo.tryFile(weights)).toBeUndefined();
    const error = await repo.file(weights).catch((e) => e);
    expect(error.code).toBe('ERR_OFFLINE');
    expect(error.message).toContain(weights);
    expect(error.message).toContain(cacheDir);
    await expect(repo.list()).rejects.toMatchObject({ code: 'ERR_OFFLINE' });
    await expect(repo.readRange(weights, 0, 8)).rejects.toMatchObject({ code: 'ERR_OFFLINE' });
    expect(asked()).toEqual([]);
  });

  it.each([429, 500, 503])('takes over when the hub answers %i', async (status) => {
    await snapshot().file(config);
    hub.fault = () => ({ status });
    const repo = snapshot();
    expect(readFileSync(await repo.file(config), 'utf8')).toBe(cfg);
    expect(await repo.tryFile('layer_0/sparsity.safetensors')).toBeUndefined();
    const error = await repo.file(weights).catch((e) => e);
    expect(error.code).toBe('ERR_NETWORK');
    expect(error.message).toContain(`HTTP ${status}`);
  });

  it('does not take over where a new download is asked for', async () => {
    await snapshot().file(config);
    hub.fault = () => ({ status: 403 });
    expect(readFileSync(await snapshot().file(config), 'utf8')).toBe(cfg);
    await expect(snapshot({ forceDownload: true }).file(config)).rejects.toMatchObject({
      code: 'ERR_GATED',
    });
  });

  it('takes over when the hub is gone, also for a file known not to be there', async () => {
    const online = snapshot();
    await online.file(config);
    await online.tryFile('none.json');
    await hub.close();
    const repo = snapshot();
    expect(await repo.tryFile('none.json')).toBeUndefined();
    expect(readFileSync(await repo.file(config), 'utf8')).toBe(cfg);
    hub = await startTestHub();
  });

  it('does not hide that nothing is cached', async () => {
    await hub.close();
    const error = await snapshot()
      .file(config)
      .catch((e) => e);
    expect(error.code).toBe('ERR_NETWORK');
    expect(error.message).toContain(hub.url);
    hub = await startTestHub();
  });
});

describe('a part of a file', () => {
  it('comes by a ranged read, without the file', async () => {
    const repo = snapshot();
    expect(await repo.size(weights)).toBe(bytes.length);
    expect(Buffer.from(await repo.readRange(weights, 8, 328)).equals(bytes.subarray(8, 328))).toBe(
      true,
    );
    const ranges = hub.requests.filter(({ server }) => server === 'cdn').map(({ range }) => range);
    expect(ranges).toEqual(['bytes=8-327']);
    expect(existsSync(under('blobs'))).toBe(false);
    expect(await repo.readRange(weights, bytes.length - 4, bytes.length + 4)).toHaveLength(4);
    expect(await repo.readRange(weights, bytes.length, bytes.length + 4)).toHaveLength(0);
  });

  it('comes from the cache once it is there', async () => {
    const repo = snapshot();
    await repo.file(weights);
    asked();
    expect(Buffer.from(await repo.readRange(weights, 100, 200)).equals(bytes.subarray(100, 200)));
    expect(await repo.readRange(weights, bytes.length - 4, bytes.length + 4)).toHaveLength(4);
    expect(await repo.size(weights)).toBe(bytes.length);
    expect(asked()).toEqual([]);
  });

  it('is refused where it is not served, cut, or not there', async () => {
    const repo = snapshot();
    await expect(repo.readRange('none.npz', 0, 8)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    hub.fault = () => ({ ignoreRange: true });
    await expect(repo.readRange(weights, 8, 16)).rejects.toMatchObject({ code: 'ERR_NETWORK' });
    hub.fault = () => ({ cutAfter: 3 });
    await expect(repo.readRange(weights, 8, 16)).rejects.toMatchObject({ code: 'ERR_NETWORK' });
    let cuts = 2;
    hub.fault = ({ server }) => (server === 'cdn' && cuts-- > 0 ? { cutAfter: 3 } : undefined);
    expect(await repo.readRange(weights, 8, 16)).toHaveLength(8);
  });
});

describe('progress', () => {
  it('counts up to the whole file, and is silent for cached ones', async () => {
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => seen.push(progress);
    await snapshot({ onProgress }).file(weights);
    expect(seen.at(-1)).toEqual({ file: weights, loaded: bytes.length, total: bytes.length });
    expect(seen.every(({ loaded }, i) => loaded > (seen[i - 1]?.loaded ?? 0))).toBe(true);
    seen.length = 0;
    await snapshot({ onProgress }).file(weights);
    expect(seen).toEqual([]);
  });

  it('rejects its own call when the callback throws, and no other', async () => {
    const onProgress = () => {
      throw new RangeError('mine');
    };
    const [mine, other] = await Promise.allSettled([
      snapshot({ onProgress }).file(weights),
      snapshot().file(weights),
    ]);
    expect(mine).toMatchObject({ status: 'rejected', reason: { message: 'mine' } });
    expect(other.status).toBe('fulfilled');
  });
});

describe('hostile names', () => {
  it.each(['../x', '/etc/passwd', 'a/../../x', 'a//b', './a', '', 'a\\..\\b', 'C:x', 'a\0b'])(
    'refuses the path %j',
    async (path) => {
      for (const call of ['file', 'tryFile', 'size'] as const) {
        await expect(snapshot()[call](path)).rejects.toMatchObject({
          code: 'ERR_INVALID_ARGUMENT',
        });
      }
      await expect(snapshot().readRange(path, 0, 1)).rejects.toThrow(/relative path/);
      expect(asked()).toEqual([]);
      const known = snapshot({ revision: commit, offline: true });
      await expect(known.size(path)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    },
  );

  it.each(['../x', 'a/../b', 'a/b/c', '', 'a b', '..', 'a/..', 'a--b/c', 'x/.git'])(
    'refuses the repository %j',
    (name) => {
      expect(() => new Snapshot(name, { cacheDir })).toThrow(/repository id/);
    },
  );

  it('refuses revisions and answers that would leave the cache', async () => {
    expect(() => snapshot({ revision: '../../x' })).toThrow(/revision/i);
    const reply = (headers: Record<string, string>) => {
      hub.fault = () => ({ status: 200, headers: { 'content-length': '5', ...headers } });
      return expect(snapshot().file(config)).rejects.toMatchObject({ code: 'ERR_NETWORK' });
    };
    await reply({ 'x-repo-commit': '../../../x', etag: '"aa"' });
    await reply({ 'x-repo-commit': commit, etag: '"../../x"' });
    await reply({ 'x-repo-commit': commit, etag: '""' });
    await reply({ 'x-repo-commit': commit });
    await reply({ etag: '"aa"' });
    await reply({ 'x-repo-commit': commit, 'x-linked-etag': '"aa"', 'x-linked-size': '-1' });
    expect(existsSync(under('snapshots'))).toBe(false);
    expect(readdirSync(cacheDir).filter((name) => !name.startsWith('models--'))).toEqual([]);
  });
});
