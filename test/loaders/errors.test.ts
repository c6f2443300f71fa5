/** What loading says when it cannot: of names, folders, files and loaders. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { LoaderName } from '../../lib/registry/data.js';
import { SAE, type SaeLoadOptions } from '../../lib/sae/sae.js';
import { fixture, readJson } from '../support/golden.js';
import { startTestHub } from '../support/test_hub.js';

const root = mkdtempSync(join(tmpdir(), 'monosem-errors-'));
afterAll(() => rmSync(root, { recursive: true }));

const source = fixture('loaders/sae_lens_v6_standard/repo/someone/my-saes/blocks.5.hook_resid_pre');
const cfg = readJson(join(source, 'cfg.json'));

function folder(name: string, files: Record<string, string>): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

test('a folder that is not there, or lacks a file', async () => {
  await expect(SAE.loadFromDisk(join(root, 'nowhere'))).rejects.toMatchObject({
    code: 'ERR_NOT_FOUND',
    message: expect.stringContaining('nowhere'),
  });
  const file = join(folder('with file', { 'cfg.json': '{}' }), 'cfg.json');
  await expect(SAE.loadFromDisk(file)).rejects.toMatchObject({
    code: 'ERR_NOT_FOUND',
    message: expect.stringContaining('no folder'),
  });
  const empty = folder('empty', {});
  await expect(SAE.loadFromDisk(empty)).rejects.toMatchObject({
    code: 'ERR_NOT_FOUND',
    message: expect.stringContaining('cfg.json'),
  });
  const bare = folder('bare', { 'cfg.json': JSON.stringify(cfg) });
  await expect(SAE.loadFromDisk(bare)).rejects.toMatchObject({
    code: 'ERR_NOT_FOUND',
    message: expect.stringContaining('sae_weights.safetensors'),
  });
});

test('folders where files should be', async () => {
  const path = folder('folders', {});
  mkdirSync(join(path, 'cfg.json'));
  await expect(SAE.loadFromDisk(path)).rejects.toMatchObject({ code: 'ERR_FORMAT' });
  const other = folder('folders-2', { 'cfg.json': JSON.stringify(cfg) });
  mkdirSync(join(other, 'sae_weights.safetensors'));
  await expect(SAE.loadFromDisk(other)).rejects.toMatchObject({ code: 'ERR_FORMAT' });
});

test('a configuration of 100 MB is not read', async () => {
  const path = folder('huge', { 'cfg.json': '{' });
  truncateSync(join(path, 'cfg.json'), 100e6);
  await expect(SAE.loadFromDisk(path)).rejects.toMatchObject({
    code: 'ERR_FORMAT',
    message: expect.stringContaining('100000000'),
  });
});

test('a loader that does not exist', async () => {
  for (const loader of ['toString', '__proto__', 'gemma_4']) {
    await expect(SAE.loadFromDisk(source, { loader: loader as LoaderName })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('sae_lens'),
    });
  }
});

test('weights that are not those of the configuration are named', async () => {
  await expect(SAE.loadFromDisk(source, { cfgOverrides: { d_sae: 81 } })).rejects.toMatchObject({
    code: 'ERR_SHAPE',
    message: expect.stringMatching(/81.*80/),
  });
  await expect(
    SAE.loadFromDisk(source, { cfgOverrides: { architecture: 'jumprelu' } }),
  ).rejects.toMatchObject({ code: 'ERR_FORMAT', message: expect.stringContaining('threshold') });
});

test('overrides win, and foldWDecNorm gives rows of norm 1', async () => {
  using sae = await SAE.loadFromDisk(source, {
    cfgOverrides: { apply_b_dec_to_input: false },
    foldWDecNorm: true,
    dtype: 'float32',
  });
  expect(sae.cfg.applyBDecToInput).toBe(false);
  expect(sae.cfg.raw).toEqual(cfg);
  const norms = (await sae.W_dec.norm(1).data()) as Float32Array;
  for (const norm of norms) expect(norm).toBeCloseTo(1, 5);
});

test('the hub: no such id, no such file, an aborted call, nothing cached while offline', async () => {
  const hub = await startTestHub({ root: fixture('loaders/sae_lens_v6_standard/repo') });
  const cacheDir = join(root, 'cache');
  const options: SaeLoadOptions = { endpoint: hub.url, cacheDir };
  const load = (id: string, more: SaeLoadOptions = {}) =>
    SAE.fromPretrained('someone/my-saes', id, { ...options, ...more });
  try {
    await expect(load('blocks.6.hook_resid_pre')).rejects.toMatchObject({
      code: 'ERR_NOT_FOUND',
      message: expect.stringContaining('blocks.6.hook_resid_pre/cfg.json'),
    });
    await expect(load('../secrets')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(
      load('blocks.5.hook_resid_pre', { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(
      load('blocks.5.hook_resid_pre', { offline: true, cacheDir: join(root, 'other') }),
    ).rejects.toMatchObject({ code: 'ERR_OFFLINE' });
    (await load('blocks.5.hook_resid_pre')).dispose();
    (await load('blocks.5.hook_resid_pre', { offline: true })).dispose();
    await expect(
      SAE.fromPretrained('gpt2-small-res-jb', 'blocks.99.hook_resid_pre', options),
    ).rejects.toMatchObject({
      code: 'ERR_NOT_FOUND',
      message: expect.stringContaining('blocks.9.hook_resid_pre'),
    });
  } finally {
    await hub.close();
  }
});

const openFiles = () => readdirSync('/proc/self/fd').length;

test.runIf(process.platform === 'linux')('no file stays open after loading', async () => {
  const before = openFiles();
  for (let i = 0; i < 50; i++) {
    (await SAE.loadFromDisk(source)).dispose();
    await SAE.loadFromDisk(source, { cfgOverrides: { d_sae: 81 } }).catch(() => {});
  }
  expect(openFiles()).toBeLessThan(before + 10);
});
