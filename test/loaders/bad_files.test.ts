/**
 * test/fixtures/bad: files made to harm a reader. Each note.json says what must happen; whatever happens
 * is over within a second, is an error of ours or the right content, and leaves nothing behind.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { FolderFiles } from '../../lib/loaders/files.js';
import { readNpzDirectory } from '../../lib/loaders/npz_directory.js';
import { readSafetensorsHeader } from '../../lib/loaders/safetensors_header.js';
import { LocalWeightsFile, type WeightsKind } from '../../lib/loaders/weights_file.js';
import { parseYaml } from '../../lib/loaders/yaml.js';
import { SAE } from '../../lib/sae/sae.js';
import { fixture, readJson } from '../support/golden.js';

interface Note {
  readonly file: string;
  readonly kind: 'sae' | 'yaml' | WeightsKind;
  readonly why: string;
  readonly must: string;
}

const folder = fixture('bad');
const notes = readdirSync(folder).map((name) => ({
  name,
  ...readJson<Note>(join(folder, name, 'note.json')),
}));

const prototypeKeys = () => [Object.prototype, Array.prototype, Map.prototype].map(Reflect.ownKeys);
const before = prototypeKeys();
const listing = () => readdirSync(folder, { recursive: true }).length;
const filesBefore = listing();
afterEach(() => {
  expect(prototypeKeys()).toEqual(before);
  expect(listing()).toBe(filesBefore);
});

/** Everything a loader would do with the file. */
async function read({ name, file, kind }: (typeof notes)[number]): Promise<unknown> {
  const path = join(folder, name, file);
  if (kind === 'sae') return (await SAE.loadFromDisk(join(folder, name))).dispose();
  if (kind === 'yaml') return parseYaml(readFileSync(path, 'utf8'), path);
  const weights = new LocalWeightsFile(file, path, kind);
  for (const tensor of weights.tensors.keys()) {
    (await weights.load(tensor, 'float32', 'cpu', false)).dispose();
  }
  return undefined;
}

test('there are 106 and more', () => expect(notes.length).toBeGreaterThanOrEqual(106));

test.each(notes)('$name: $why', { timeout: 1000 }, async (note) => {
  const error = await read(note).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (note.must === 'refuse') expect(error).toBeDefined();
  if (error === undefined) return;
  expect(error).toBeInstanceOf(MonosemError);
  const { code, message } = error as MonosemError;
  expect(code, message).toMatch(
    /^ERR_(FORMAT|SHAPE|DTYPE|NOT_FOUND|UNSUPPORTED|UNSAFE_PICKLE|INVALID_ARGUMENT)$/,
  );
});

const dangerous = notes.filter(({ why }) => /forbidden global|REDUCE of|NEWOBJ of|INST/.test(why));

test.each(dangerous)('$name names what it refuses', async (note) => {
  expect(dangerous.length).toBeGreaterThan(8);
  await expect(read(note)).rejects.toMatchObject({
    code: 'ERR_UNSAFE_PICKLE',
    message: expect.stringMatching(/names \S+\.\S+,/),
  });
});

const ranged = notes.filter(({ kind }) => kind === 'safetensors' || kind === 'npz');

test.each(ranged)('$name by ranges', { timeout: 1000 }, async ({ name, file, kind }) => {
  const files = new FolderFiles(join(folder, name));
  const size = await files.size(file);
  try {
    const open = kind === 'npz' ? readNpzDirectory : readSafetensorsHeader;
    for (const { start, end } of (await open(files, file))?.values() ?? []) {
      expect(start).toBeGreaterThanOrEqual(0);
      expect(end).toBeGreaterThanOrEqual(start);
      expect(end).toBeLessThanOrEqual(size);
    }
  } catch (error) {
    expect(error).toBeInstanceOf(MonosemError);
  }
});
