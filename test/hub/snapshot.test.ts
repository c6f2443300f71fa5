import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadFile, Snapshot } from '../../lib/hub/snapshot.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';

const repoId = 'someone/saes';
const weights = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));
const cfg = '{"architecture": "standard"}';

let hub: TestHub;
let cacheDir: string;
const options = () => ({ endpoint: hub.url, cacheDir });
const snapshot = (more = {}) => new Snapshot(repoId, { ...options(), ...more });
const under = (...parts: string[]) => join(cacheDir, 'models--someone--saes', ...parts);

beforeEach(async () => {
  hub = await startTestHub();
  hub.push(repoId, { 'layer_0/cfg.json': cfg, 'layer_0/sae_weights.safetensors': weights });
  cacheDir = mkdtempSync(join(tmpdir(), 'monosem-hub-'));
});

afterEach(async () => {
  await hub.close();
  rmSync(cacheDir, { recursive: true });
});

describe('a snapshot', () => {
  it("lays files out as Python's cache does", async () => {
    const repo = snapshot();
    const small = await repo.file('layer_0/cfg.json');
    const large = await repo.file('layer_0/sae_weights.safetensors');
    const commit = repo.commit ?? '';
    expect(readFileSync(small, 'utf8')).toBe(cfg);
    expect(readFileSync(large).equals(weights)).toBe(true);
    expect(small).toBe(under('snapshots', commit, 'layer_0', 'cfg.json'));
    expect(readFileSync(under('refs', 'main'), 'utf8')).toBe(commit);
    expect(readlinkSync(large)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
    expect(readlinkSync(small)).toMatch(/^\.\.\/\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    expect(readdirSync(under('blobs'))).toHaveLength(2);
    expect(readdirSync(under('snapshots', commit, 'layer_0')).sort()).toEqual([
      'cfg.json',
      'sae_weights.safetensors',
    ]);
  });
});
