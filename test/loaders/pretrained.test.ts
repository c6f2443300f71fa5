/** The cases through SAE.fromPretrained and a hub on loopback, with the activations SAELens computed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import type { DType } from '../../lib/native.js';
import { SAE, type SaeLoadOptions } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import { expectGolden, type GoldenTensor, numbers, readGolden } from '../support/golden.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';
import { type Case, cases, expectedTensors, repositories } from './cases.js';

let cacheDir: string;
beforeAll(() => {
  cacheDir = mkdtempSync(join(tmpdir(), 'monosem-loaders-'));
});
afterAll(() => rmSync(cacheDir, { recursive: true }));

/** What the registry does not know of the case's overrides. */
function ownOverrides({ overrides, overrides_from_registry: known }: Case) {
  return Object.fromEntries(
    Object.entries(overrides ?? {}).filter(([key]) => !Object.hasOwn(known ?? {}, key)),
  );
}

async function withHub<T>(testCase: Case, body: (hub: TestHub) => Promise<T>): Promise<T> {
  const hub = await startTestHub({ root: repositories(testCase) });
  try {
    return await body(hub);
  } finally {
    await hub.close();
  }
}

function load(testCase: Case, hub: TestHub, options: SaeLoadOptions = {}) {
  const { release, sae_id: saeId, repo_id: repoId, folder, loader, name } = testCase;
  const { revision, ...overrides } = ownOverrides(testCase);
  return SAE.fromPretrainedWithCfgAndSparsity(release ?? repoId, saeId ?? String(folder), {
    endpoint: hub.url,
    cacheDir: join(cacheDir, name),
    cfgOverrides: overrides,
    ...(release === undefined ? { loader } : {}),
    ...options,
  });
}

/** What from_pretrained gives: its own tensors where they are not those of the loader. */
function expected(testCase: Case, kind: 'state' | 'io'): Map<string, GoldenTensor> {
  const golden = readGolden(expectedTensors(testCase));
  const names = [...golden.keys()];
  const pick = (...prefixes: string[]) => {
    const prefix = prefixes.find((start) => names.some((name) => name.startsWith(start)));
    if (prefix === undefined) return new Map<string, GoldenTensor>();
    const own = names.filter((name) => name.startsWith(prefix));
    return new Map(
      own.map((name) => [name.slice(prefix.length), golden.get(name) as GoldenTensor]),
    );
  };
  if (kind === 'io') return pick('correct32_io.', 'correct_io.', 'pretrained_io.', 'io.');
  const prefixed = pick('pretrained.');
  if (prefixed.size > 0) return prefixed;
  return new Map([...golden].filter(([name]) => Object.hasOwn(testCase.state ?? {}, name)));
}

/** b_enc and threshold are what flips: activations within rounding of a threshold are not compared. */
async function expectActivations(
  sae: SAE,
  io: ReadonlyMap<string, GoldenTensor>,
  tolerance: number,
) {
  const { values, shape } = io.get('x') as GoldenTensor;
  using x = Tensor.from(Float32Array.from(values), shape);
  using acts = await sae.encode(x);
  await expectGolden(acts.dense(), io.get('encode'), tolerance, 'encode');
  await expectGolden(await sae.decode(acts), io.get('decode'), tolerance, 'decode');
  await expectGolden(await sae.forward(x), io.get('forward'), tolerance, 'forward');
}

const loads = cases.filter(
  (c) =>
    c.via === 'hub' &&
    c.port !== 'may_refuse' &&
    (c.port === 'use_correct' || (c.from_pretrained?.cfg && !c.from_pretrained.error)),
);

test('most cases load', () => expect(loads.length).toBeGreaterThan(75));

test.each(loads)('$name from the hub', (testCase) =>
  withHub(testCase, async (hub) => {
    const warnings: string[] = [];
    const listen = ({ name, message }: Error) =>
      name === 'MonosemWarning' && warnings.push(message);
    process.on('warning', listen);
    const { sae, cfgDict, logSparsity } = await load(testCase, hub);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', listen);
    using _ = sae;
    const { from_pretrained: reference, ignore = [], port } = testCase;
    if (port !== 'use_correct') {
      const { metadata, ...rest } = reference?.cfg ?? {};
      const drop = (dict: object) =>
        Object.fromEntries(Object.entries(dict).filter(([key]) => !ignore.includes(key)));
      expect(drop({ ...cfgDict, metadata: 0 })).toEqual({ ...rest, metadata: 0 });
      expect(drop(cfgDict.metadata as object)).toEqual(drop(metadata as object));
      for (const [name, tensor] of expected(testCase, 'state')) {
        const ours = (sae as unknown as Record<string, Tensor | undefined>)[name];
        if (ours === undefined) continue; // named parts of other architectures
        const sum = name === 'W_dec' && /^clt|^\d+$/.test(String(testCase.folder));
        if (sum) await expectGolden(ours, tensor, 1e-6, name);
        else expect(await numbers(ours), name).toEqual(tensor.values);
      }
    }
    const told = (reference?.warnings ?? []).filter(
      (text) => !text.includes('model_from_pretrained'),
    );
    expect(warnings.length, warnings.join('\n')).toBe(told.length);
    await expectActivations(sae, expected(testCase, 'io'), 1e-5);
    const sparsity = readGolden(expectedTensors(testCase)).get('extra.log_sparsity');
    expect(logSparsity === undefined).toBe(sparsity === undefined);
    if (logSparsity) await expectGolden(logSparsity, sparsity, 0, 'log sparsity');
  }),
);

const half = cases.filter(
  (c) => c.via === 'hub' && /float16/.test(c.io_dtype ?? '') && c.port === 'match' && !c.error,
);

test.each(half)('$name in its own 16 bits', (testCase) =>
  withHub(testCase, async (hub) => {
    const { sae } = await load(testCase, hub, { dtype: testCase.cfg?.dtype as DType });
    using _ = sae;
    if (testCase.from_pretrained?.norm_scaling_factor) return; // io.* is that of the unfolded one
    const golden = readGolden(expectedTensors(testCase));
    const io = new Map([...golden].map(([name, tensor]) => [name.replace(/^io\./, ''), tensor]));
    if (io.has('x') && testCase.support_stable) await expectActivations(sae, io, 3e-2);
  }),
);

test.each(cases.filter((c) => c.via === 'disk' && !c.error))(
  '$name from a folder',
  async (testCase) => {
    const { repo_id: repoId, folder, loader } = testCase;
    const path = join(repositories(testCase), repoId, String(folder));
    using sae = await SAE.loadFromDisk(path, { loader, dtype: 'float32' });
    for (const [name, tensor] of expected(testCase, 'state')) {
      await expectGolden(
        (sae as unknown as Record<string, Tensor>)[name] as Tensor,
        tensor,
        4e-3,
        name,
      );
    }
  },
);

const remote = loads.filter((c) => c.loader !== 'temporal' || c.name === 'temporal');

test.each(remote)('$name: one decoder row', (testCase) =>
  withHub(testCase, async (hub) => {
    const { sae } = await load(testCase, hub);
    using _ = sae;
    const whole = await numbers(sae.W_dec);
    const [dSae = 0, dOut = 0] = sae.W_dec.shape;
    const asked = hub.requests.length;
    const { release, sae_id: saeId, repo_id: repoId, folder, loader, name } = testCase;
    const { revision, ...overrides } = ownOverrides(testCase);
    const row = (feature: number) =>
      SAE.fetchDecoderRow(release ?? repoId, saeId ?? String(folder), feature, {
        endpoint: hub.url,
        cacheDir: join(cacheDir, `${name}-rows`),
        cfgOverrides: overrides,
        ...(release === undefined ? { loader } : {}),
      });
    for (const feature of [0, dSae - 1]) {
      expect([...(await row(feature))]).toEqual([
        ...whole.slice(feature * dOut, (feature + 1) * dOut),
      ]);
    }
    await expect(row(dSae)).rejects.toThrow(MonosemError);
    const fetched = hub.requests
      .slice(asked)
      .filter(({ method, range }) => method === 'GET' && !range);
    const weights = fetched.filter(({ path }) => /safetensors|npz/.test(decodeURIComponent(path)));
    const ranged =
      !/^(llama_scope|sparsify)/.test(loader) &&
      !/deflated|compressed|npz_variants|scaling_ones|factor_ones|gemma_2_embedding/.test(
        testCase.about + name,
      );
    if (ranged) expect(weights.map(({ path }) => path)).toEqual([]);
  }),
);
