import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { FeatureActs } from '../../lib/sae/feature_acts.js';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import {
  fixture,
  type GoldenTensor,
  numbers,
  readGolden,
  readJson,
  relativeError,
} from '../support/golden.js';

const path = (folder: string) => fixture(`sae/${folder}`);
const code = (expected: string, message?: RegExp) =>
  expect.objectContaining({
    code: expected,
    ...(message && { message: expect.stringMatching(message) }),
  });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'monosem-sae-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of a fixture whose cfg.json or weights are changed. */
function broken(
  name: string,
  change: { cfg?: (text: string) => string; weights?: Buffer },
): string {
  const copy = mkdtempSync(join(folder, 'broken-'));
  cpSync(path(name), copy, { recursive: true, dereference: true });
  const cfg = join(copy, 'cfg.json');
  if (change.cfg) writeFileSync(cfg, change.cfg(readFileSync(cfg, 'utf8')));
  if (change.weights) writeFileSync(join(copy, 'sae_weights.safetensors'), change.weights);
  return copy;
}

/** A safetensors file of zeros. */
function zeros(shapes: Record<string, number[]>): Buffer {
  let offset = 0;
  const header = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const start = offset;
      offset += shape.reduce((a, b) => a * b, 4);
      return [name, { dtype: 'F32', shape, data_offsets: [start, offset] }];
    }),
  );
  const text = Buffer.from(JSON.stringify(header).padEnd(1024));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(offset)]);
}

describe('saveModel', () => {
  it.each(readdirSync(fixture('sae')))(
    '%s: the same bytes, and cfg.json reads back',
    async (name) => {
      const saved = join(folder, 'saved', name);
      using sae = await SAE.loadFromDisk(path(name));
      const { weightsPath, cfgPath } = await sae.saveModel(saved);
      const weights = readFileSync(join(path(name), 'sae_weights.safetensors'));
      expect(readFileSync(weightsPath).equals(weights)).toBe(true);
      using again = await SAE.loadFromDisk(saved);
      expect({ ...again.cfg, raw: {} }).toEqual({
        ...sae.cfg,
        raw: {},
        metadata: expect.objectContaining(sae.cfg.metadata),
      });
      if (name.startsWith('v5')) return;
      expect(readJson(cfgPath)).toEqual(readJson(join(path(name), 'cfg.json')));
    },
  );

  it('keeps raw configuration, and writes what is true after changes', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    expect(sae.cfg.raw).toMatchObject(readJson(join(path('standard'), 'cfg.json')));
    sae.foldActivationNormScalingFactor(2);
    sae.to({ dtype: 'bfloat16' });
    const { cfgPath } = await sae.saveModel(join(folder, 'changed'));
    expect(readJson(cfgPath)).toMatchObject({ dtype: 'bfloat16', normalize_activations: 'none' });
    using again = await SAE.loadFromDisk(join(folder, 'changed'));
    expect(again.dtype).toBe('bfloat16');
    expect(await again.W_enc.data()).toEqual(await sae.W_enc.data());
  });

  it('refuses a place that cannot be written', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    await expect(sae.saveModel(join(path('standard'), 'cfg.json', 'x'))).rejects.toThrow();
  });
});

describe('dtype', () => {
  it.each(['float16', 'bfloat16'] as const)('%s holds weights and gives results', async (dtype) => {
    using wide = await SAE.loadFromDisk(path('jumprelu'));
    using sae = await SAE.loadFromDisk(path('jumprelu'), { dtype });
    const golden = readGolden(join(path('jumprelu'), 'io.safetensors'));
    const { values, shape } = golden.get('x') as GoldenTensor;
    using x = Tensor.from(Float32Array.from(values), shape);
    expect([sae.dtype, sae.cfg.dtype, sae.W_enc.dtype]).toEqual([dtype, dtype, dtype]);
    using acts = await sae.encode(x);
    expect(acts.dense().dtype).toBe(dtype);
    using out = await sae.decode(acts);
    expect(out.dtype).toBe(dtype);
    using forward = await sae.forward(x);
    expect(forward.dtype).toBe(dtype);
    using expected = await wide.forward(x);
    expect(relativeError(await numbers(forward), await numbers(expected))).toBeLessThan(5e-2);
    const { cache } = await sae.runWithCache(x);
    for (const [, value] of cache) {
      expect((value instanceof FeatureActs ? value.dense() : value).dtype).toBe(dtype);
    }
    wide.to({ dtype });
    expect(await wide.W_dec.data()).toEqual(await sae.W_dec.data());
    using moved = await wide.forward(x);
    expect(await moved.data()).toEqual(await forward.data());
  });

  it('takes 16-bit and integer inputs into a float32 SAE', async () => {
    using sae = await SAE.loadFromDisk(path('standard_2d'));
    using ones = Tensor.ones([1, 48]);
    using expected = await sae.forward(ones);
    for (const [data, dtype] of [
      [new Uint16Array(48).fill(0x3c00), 'float16'],
      [new Uint16Array(48).fill(0x3f80), 'bfloat16'],
    ] as const) {
      using out = await sae.forward({ data, shape: [1, 48], dtype });
      expect(await out.data()).toEqual(await expected.data());
    }
    using out = await sae.forward({ data: new Int32Array(48).fill(1), dims: [1, 48] });
    expect(await out.data()).toEqual(await expected.data());
  });
});

describe('what a folder may not hold', () => {
  const shapes = { W_enc: [48, 192], b_enc: [192], W_dec: [192, 48], b_dec: [48] };
  const load = (where: string) => SAE.loadFromDisk(where);

  it('is missing, or lacks a file', async () => {
    await expect(load(join(folder, 'nowhere'))).rejects.toThrow(code('ERR_NOT_FOUND', /nowhere/));
    const copy = broken('standard', {});
    rmSync(join(copy, 'sae_weights.safetensors'));
    await expect(load(copy)).rejects.toThrow(code('ERR_NOT_FOUND', /sae_weights/));
  });

  it('has a cfg.json that is not JSON, lacks d_in, or names an unknown architecture', async () => {
    const change = (cfg: (text: string) => string) => load(broken('standard', { cfg }));
    await expect(change((text) => text.slice(0, 20))).rejects.toThrow(code('ERR_FORMAT', /JSON/));
    await expect(change((text) => text.replace('"d_in"', '"din"'))).rejects.toThrow(
      code('ERR_FORMAT', /lacks d_in/),
    );
    await expect(change((text) => text.replace('"standard"', '"standart"'))).rejects.toThrow(
      code('ERR_UNSUPPORTED', /nearest: standard/),
    );
  });

  it('has tensors missing, extra, of another shape or of integers', async () => {
    const change = (weights: Buffer) => load(broken('standard', { weights }));
    const { b_enc: _, ...without } = shapes;
    await expect(change(zeros(without))).rejects.toThrow(code('ERR_FORMAT', /lack b_enc/));
    await expect(change(zeros({ ...shapes, threshold: [192] }))).rejects.toThrow(
      code('ERR_FORMAT', /have threshold/),
    );
    await expect(change(zeros({ ...shapes, W_dec: [48, 192] }))).rejects.toThrow(
      code('ERR_SHAPE', /W_dec: .*\[192,48\].*\[48,192\]/),
    );
    const integers = Buffer.from(
      zeros(shapes).toString('latin1').replaceAll('F32', 'I32'),
      'latin1',
    );
    await expect(change(integers)).rejects.toThrow(code('ERR_DTYPE', /int32/));
    expect((await load(broken('standard', { weights: zeros(shapes) }))).cfg.dSae).toBe(192);
  });

  it.each(readdirSync(fixture('bad')).filter((name) => name.startsWith('cfg_')))(
    '%s',
    async (name) => {
      const loading = load(fixture(`bad/${name}`));
      const { must } = readJson<{ must: string }>(fixture(`bad/${name}/note.json`));
      if (must === 'refuse') await expect(loading).rejects.toBeInstanceOf(MonosemError);
      else expect((await loading).cfg.dIn).toBe(16);
      expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    },
  );
});
