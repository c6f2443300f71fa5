import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { settle } from '../../lib/hub/environment.js';
import type { HubOptions } from '../../lib/hub/options.js';
import { Snapshot } from '../../lib/hub/snapshot.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';

const token = 'hf_test';
const path = 'weights.npz';

let hub: TestHub;
let folder: string;
const fetchFile = async (repoId: string, options: HubOptions = {}) =>
  new Snapshot(repoId, { endpoint: hub.url, cacheDir: join(folder, 'cache'), ...options }).file(
    path,
  );
const failure = (repoId: string, options?: HubOptions) =>
  fetchFile(repoId, options).then(
    () => expect.unreachable(),
    (error) => error,
  );

beforeEach(async () => {
  for (const name of Object.keys(process.env)) {
    if (/^(HF_|HUGGING|XDG_CACHE|TRANSFORMERS_)/.test(name)) vi.stubEnv(name, undefined);
  }
  folder = mkdtempSync(join(tmpdir(), 'monosem-hub-'));
  vi.stubEnv('HF_HOME', folder);
  hub = await startTestHub({
    token,
    gated: ['google/gated'],
    renamed: { 'old/name': 'new/name', 'loop/a': 'loop/b', 'loop/b': 'loop/a' },
  });
  for (const repoId of ['google/gated', 'open/open', 'new/name'])
    hub.push(repoId, { [path]: repoId });
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(folder, { recursive: true });
});

describe('a gated repository', () => {
  it.each([undefined, 'hf_other'])(
    'is ERR_GATED with the page to act on (token %j)',
    async (given) => {
      const error = await failure('google/gated', given === undefined ? {} : { token: given });
      expect(error.code).toBe('ERR_GATED');
      expect(error.message).toContain(`${hub.url}/google/gated`);
      expect(error.message).toContain('HF_TOKEN');
      expect(error.message).not.toContain('hf_other');
    },
  );

  it('opens by option, variable, and token file, in this order', async () => {
    const content = async (options?: HubOptions) =>
      readFileSync(await fetchFile('google/gated', { forceDownload: true, ...options }), 'utf8');
    expect(await content({ token })).toBe('google/gated');
    vi.stubEnv('HF_TOKEN', ` ${token}\n`);
    expect(await content()).toBe('google/gated');
    await expect(content({ token: 'hf_wrong', cacheDir: join(folder, 'x') })).rejects.toThrow();
    vi.stubEnv('HF_TOKEN', undefined);
    writeFileSync(join(folder, 'token'), `${token}\n`);
    expect(await content()).toBe('google/gated');
    await expect(content({ token: '', cacheDir: join(folder, 'x') })).rejects.toThrow();
    vi.stubEnv('HF_HUB_DISABLE_IMPLICIT_TOKEN', '1');
    await expect(content({ cacheDir: join(folder, 'x') })).rejects.toThrow(/gated/);
  });

  it('still serves what the cache holds', async () => {
    await fetchFile('google/gated', { token });
    expect(readFileSync(await fetchFile('google/gated'), 'utf8')).toBe('google/gated');
  });
});

describe('a missing repository', () => {
  it.each([{}, { token }])('is ERR_NOT_FOUND with its page (%j)', async (options) => {
    const error = await failure('no/such', options);
    expect(error.code).toBe('ERR_NOT_FOUND');
    expect(error.message).toContain(`${hub.url}/no/such`);
    expect(error.message).toContain('private');
  });
});

describe('a renamed repository', () => {
  it('is followed, token and all, under the name it was asked by', async () => {
    const local = await fetchFile('old/name', { token });
    expect(readFileSync(local, 'utf8')).toBe('new/name');
    expect(local).toContain('models--old--name');
    const onHub = hub.requests.filter(({ server }) => server === 'hub');
    expect(onHub.every(({ authorization }) => authorization === `Bearer ${token}`)).toBe(true);
  });

  it('in circles is given up', async () => {
    const error = await failure('loop/a');
    expect(error.code).toBe('ERR_NETWORK');
    expect(error.message).toContain('redirects');
  });
});

describe('a mirror', () => {
  it('may send on to the hub, but not the token', async () => {
    const mirror = createServer((request, response) => {
      response.writeHead(302, { location: `${hub.url}${request.url}` }).end();
    });
    await new Promise<void>((resolve) => mirror.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`;
    expect(readFileSync(await fetchFile('open/open', { endpoint, token }), 'utf8')).toBe(
      'open/open',
    );
    expect(hub.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
    expect((await failure('google/gated', { endpoint, token })).code).toBe('ERR_GATED');
    mirror.close();
  });
});

describe('the token', () => {
  it('stays with the hub when it redirects to another host', async () => {
    await fetchFile('google/gated', { token });
    const cdn = hub.requests.filter(({ server }) => server === 'cdn');
    expect(cdn.length).toBeGreaterThan(0);
    expect(cdn.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('does not come back when another host redirects home, and no other scheme is followed', async () => {
    const seen: (string | undefined)[] = [];
    let target = `${hub.url}/new/name/resolve/main/${path}`;
    const other = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(302, { location: target }).end();
    });
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    const sha = 'a'.repeat(64);
    const headers = {
      location,
      'x-repo-commit': 'b'.repeat(40),
      'x-linked-etag': sha,
      'x-linked-size': '8',
    };
    hub.fault = ({ server, path: asked }) =>
      server === 'hub' && asked.startsWith('/open/') ? { status: 302, headers } : undefined;
    await failure('open/open', { token });
    expect(seen).toContain(undefined);
    expect(seen).not.toContain(`Bearer ${token}`);
    const home = hub.requests.filter(({ path: asked }) => asked.startsWith('/new/'));
    expect(home.length).toBeGreaterThan(0);
    expect(home.every(({ authorization }) => authorization === undefined)).toBe(true);
    target = 'file:///etc/passwd';
    expect((await failure('open/open')).message).toContain('file:///etc/passwd');
    other.close();
  });

  it('is not repeated in errors, and is refused when no header could carry it', async () => {
    const error = await failure('open/open', { token: 'hf_secret ünïcode' });
    expect(error.code).toBe('ERR_INVALID_ARGUMENT');
    expect(error.message).not.toContain('secret');
  });
});

describe('the environment', () => {
  it("is read as Python's huggingface_hub reads it", () => {
    expect(settle({})).toEqual({
      endpoint: 'https://huggingface.co',
      cacheDir: join(folder, 'hub'),
      token: undefined,
      revision: 'main',
      offline: false,
      forceDownload: false,
    });
    vi.stubEnv('HF_HOME', undefined);
    expect(settle({}).cacheDir).toBe(join(homedir(), '.cache/huggingface/hub'));
    vi.stubEnv('XDG_CACHE_HOME', '/xdg');
    expect(settle({}).cacheDir).toBe('/xdg/huggingface/hub');
    vi.stubEnv('HF_HOME', '~/hf');
    expect(settle({}).cacheDir).toBe(join(homedir(), 'hf/hub'));
    vi.stubEnv('HUGGINGFACE_HUB_CACHE', '/old');
    expect(settle({}).cacheDir).toBe('/old');
    vi.stubEnv('HF_HUB_CACHE', '/cache');
    expect(settle({}).cacheDir).toBe('/cache');
    expect(settle({ cacheDir: '/mine' }).cacheDir).toBe('/mine');
    vi.stubEnv('HF_ENDPOINT', 'https://mirror.example/hf/');
    expect(settle({}).endpoint).toBe('https://mirror.example/hf');
    vi.stubEnv('HF_HUB_OFFLINE', 'YES');
    expect(settle({}).offline).toBe(true);
    expect(settle({ offline: false }).offline).toBe(false);
    vi.stubEnv('HF_HUB_OFFLINE', '0');
    expect(settle({}).offline).toBe(false);
    vi.stubEnv('HF_TOKEN', 'hf_a');
    expect(settle({}).token).toBe('hf_a');
    expect(settle({ token: '' }).token).toBeUndefined();
  });

  it('is refused where it makes no sense', () => {
    expect(() => settle({ endpoint: 'ftp://x' })).toThrow(/HF_ENDPOINT/);
    vi.stubEnv('HF_ENDPOINT', 'huggingface.co');
    expect(() => settle({})).toThrow(/HF_ENDPOINT/);
  });

  it('serves a hub under HF_ENDPOINT', async () => {
    vi.stubEnv('HF_ENDPOINT', hub.url);
    const local = await new Snapshot('open/open').file(path);
    expect(readFileSync(local, 'utf8')).toBe('open/open');
    expect(local.startsWith(join(folder, 'hub', 'models--open--open'))).toBe(true);
  });
});
