/** saveModel, and back: the same bytes for every tensor, the same configuration. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { SAE } from '../../lib/sae/sae.js';
import { fixture, readJson } from '../support/golden.js';

const root = mkdtempSync(join(tmpdir(), 'monosem-save-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Each tensor's dtype, shape and bytes, read without the code under test. */
function contents(path: string): Record<string, unknown> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const { __metadata__: _, ...tensors } = header;
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, data_offsets }]) => {
      const [start, end] = data_offsets.map((at) => at + 8 + length);
      return [name, { dtype, shape, bytes: file.subarray(start, end).toString('base64') }];
    }),
  );
}

/** The configuration but for its source, and the version that a file of old does not have. */
const comparable = ({ cfg }: SAE) => {
  const { saeLensVersion: _, ...metadata } = cfg.metadata;
  return { ...cfg, raw: 0, metadata };
};

test.each(readdirSync(fixture('sae')))('%s', async (name) => {
  const source = fixture(`sae/${name}`);
  using sae = await SAE.loadFromDisk(source);
  const { weightsPath, cfgPath } = await sae.saveModel(join(root, name));
  expect(contents(weightsPath)).toEqual(contents(join(source, 'sae_weights.safetensors')));
  using again = await SAE.loadFromDisk(join(root, name));
  expect(comparable(again)).toEqual(comparable(sae));
  await again.saveModel(join(root, name)); // over the file it was mapped from
  expect(contents(weightsPath)).toEqual(contents(join(source, 'sae_weights.safetensors')));
  expect(readJson(cfgPath)).toEqual(again.cfg.raw);
  expect(readdirSync(join(root, name)).sort()).toEqual(['cfg.json', 'sae_weights.safetensors']);
});

test('edits of loaded weights do not reach the file', async () => {
  const source = fixture(`sae/${readdirSync(fixture('sae'))[0]}`);
  const before = readFileSync(join(source, 'sae_weights.safetensors'));
  using sae = await SAE.loadFromDisk(source);
  sae.W_dec.fill(7);
  expect((await sae.W_dec.data())[0]).not.toBe(undefined);
  expect(readFileSync(join(source, 'sae_weights.safetensors'))).toEqual(before);
});

test('a place that cannot be written is an error, and leaves nothing', async () => {
  using sae = await SAE.loadFromDisk(fixture(`sae/${readdirSync(fixture('sae'))[0]}`));
  const occupied = join(root, 'occupied');
  writeFileSync(occupied, '');
  await expect(sae.saveModel(join(occupied, 'sae'))).rejects.toThrow();
  const folder = join(root, 'folder-in-the-way');
  await sae.saveModel(join(folder, 'sae_weights.safetensors')); // makes a folder of that name
  await expect(sae.saveModel(folder)).rejects.toThrow(MonosemError);
  expect(existsSync(join(folder, 'cfg.json'))).toBe(false);
  expect(readdirSync(folder)).toEqual(['sae_weights.safetensors']);
});
