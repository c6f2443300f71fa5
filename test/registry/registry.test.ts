import { readFileSync, statSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import { registry } from '../../lib/registry/registry.js';
import type { Release } from '../../lib/registry/releases.js';
import { resolve } from '../../lib/registry/resolve.js';

/** SAELens' registry as a table, kept apart from the file the package bundles. */
function readTable(name: string): Record<string, string>[] {
  const file = new URL(`../fixtures/registry/${name}.tsv.br`, import.meta.url);
  const text = brotliDecompressSync(readFileSync(file)).toString('utf8').replace(/\n$/, '');
  const [header = '', ...lines] = text.split('\n');
  const columns = header.split('\t');
  return lines.map((line) => {
    const cells = line.split('\t');
    return Object.fromEntries(columns.map((column, i) => [column, cells[i] ?? '']));
  });
}

const number = (cell: string | undefined) => (cell ? Number(cell) : undefined);
const string = (cell: string | undefined) => cell || undefined;

describe('the bundled registry', () => {
  it('says of every SAE what the table says', () => {
    const rows = readTable('registry');
    expect(rows).toHaveLength(13_857);
    for (const row of rows) {
      const entry = registry.find(row.release ?? '', row.sae_id ?? '');
      expect({
        release: entry?.release,
        saeId: entry?.saeId,
        repoId: entry?.repoId,
        path: entry?.path,
        loader: entry?.loader,
        model: entry?.model,
        hookName: entry?.hookName,
        hfHookName: entry?.hfHookName,
        dSae: entry?.dSae,
        l0: entry?.l0,
        varianceExplained: entry?.varianceExplained,
        normScalingFactor: entry?.normScalingFactor,
        neuronpediaId: entry?.neuronpediaId,
      }).toEqual({
        release: row.release,
        saeId: row.sae_id,
        repoId: row.repo_id,
        path: row.path,
        loader: row.loader,
        model: row.model,
        hookName: row.hook_name,
        hfHookName: string(row.hf_hook_name),
        dSae: Number(row.d_sae),
        l0: number(row.l0),
        varianceExplained: number(row.variance_explained),
        normScalingFactor: number(row.norm_scaling_factor),
        neuronpediaId: string(row.neuronpedia),
      });
    }
  });

  it('has the releases of the table, in its order, with as many SAEs, and no more', () => {
    const releases = registry.releases();
    expect(
      releases.map(({ release, repoId, model, loader, saes }) => [
        release,
        repoId,
        model,
        loader,
        saes,
      ]),
    ).toEqual(
      readTable('releases').map((row) => [
        row.release,
        row.repo_id,
        row.model,
        row.loader,
        Number(row.n_sae_ids),
      ]),
    );
    for (const { release, saes } of releases) expect(registry.saes(release)).toHaveLength(saes);
  });

  it('has the configuration overrides of the table', () => {
    for (const row of readTable('releases')) {
      const [first] = registry.saes(row.release ?? '');
      const cell = row.config_overrides?.replace(/^"(.*)"$/, '$1').replaceAll('""', '"');
      expect(resolve(row.release ?? '', first?.saeId ?? '').configOverrides).toEqual(
        cell ? JSON.parse(cell) : {},
      );
    }
  });

  it('is small in the package and looked up in under 5 ms', async () => {
    const { size } = statSync(new URL('../../assets/registry.br', import.meta.url));
    expect(size).toBeLessThan(400_000);
    // A fresh copy of the module: expanded, but with no release parsed yet.
    vi.resetModules();
    const fresh = (await import('../../lib/registry/registry.js')).registry;
    expect(fresh.releases().length).toBe(170);
    const start = performance.now();
    const [release, id] = ['gemma-scope-9b-pt-res', 'layer_12/width_16k/average_l0_19'];
    expect(fresh.find(release, id)?.dSae).toBe(16_384);
    expect(performance.now() - start).toBeLessThan(5);
  });

  it('keeps ids with slashes, integer paths, files as paths, and canonical ids apart from paths', () => {
    const paths = (release: Release, id: string) => registry.find(release, id)?.path;
    expect(paths('mntss-gemma-2-2b-2.5m-clt-as-per-layer', 'layer_25')).toBe('25');
    expect(paths('gemma-scope-2b-pt-res-canonical', 'layer_0/width_16k/canonical')).toBe(
      'layer_0/width_16k/average_l0_105',
    );
    expect(registry.saes('gpt2-small-res_scefr-ajt').map(({ saeId }) => saeId)).toEqual([
      'blocks.2.hook_resid_pre',
      'blocks.6.hook_resid_pre',
      'blocks.10.hook_resid_pre',
    ]);
  });

  it('knows nothing of other names', () => {
    expect(registry.find('no-such-release', 'x')).toBeUndefined();
    expect(registry.find('gpt2-small-res-jb', '__proto__')).toBeUndefined();
    expect(registry.find('mntss-gemma-2-2b-2.5m-clt-as-per-layer', 'layer_25\t25')).toBeUndefined();
    expect(registry.find('gpt2-small-res-jb', '')).toBeUndefined();
    expect(registry.find('constructor', 'name')).toBeUndefined();
    expect(registry.saes('no-such-release')).toEqual([]);
  });
});

describe('registry.search', () => {
  it('finds a model under any of its names', () => {
    const count = (model: string) => registry.search({ model }).length;
    expect(count('gemma-2-2b')).toBe(1731);
    expect(count('google/gemma-2-2b')).toBe(1731);
    expect(count('openai-community/gpt2')).toBe(159);
    expect(count('gpt2-small')).toBe(159);
    expect(count('mistralai/Mistral-7B-v0.1')).toBe(3);
    expect(count('gemma-2')).toBe(0);
  });

  it('finds hook points by either name, whole or by the last parts', () => {
    expect(registry.search({ hookName: 'hook_resid_post' })).toHaveLength(4775);
    expect(registry.search({ hookName: 'attn.hook_z' })).toHaveLength(2480);
    const layer = registry.search({ model: 'gpt2', hookName: 'blocks.8.hook_resid_pre' });
    expect(layer.length).toBeGreaterThan(0);
    expect(layer.every((entry) => entry.hookName === 'blocks.8.hook_resid_pre')).toBe(true);
    const byHuggingFaceName = registry.search({ hookName: 'model.layers.3.output' });
    expect(byHuggingFaceName.length).toBeGreaterThan(0);
  });

  it('wants every word, in any case', () => {
    const hits = registry.search({ text: 'GEMMA-scope-2b canonical 65k' });
    expect(hits.length).toBeGreaterThan(0);
    for (const { release, saeId } of hits) {
      expect(`${release} ${saeId}`).toMatch(/gemma-scope-2b.*65k.*canonical|canonical.*65k/);
    }
    expect(registry.search({ text: 'gemma nosuchword' })).toEqual([]);
    expect(registry.search({})).toHaveLength(13_857);
  });
});
