import { expect, test } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { describe as describeSae, loadWeights, readConfig } from '../../lib/loaders/load.js';
import { loaders } from '../../lib/loaders/table.js';
import type { LoaderName } from '../../lib/registry/data.js';
import { migrateConfig } from '../../lib/sae/migrate.js';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import {
  expectGolden,
  fixture,
  type GoldenTensor,
  numbers,
  readGolden,
  readJson,
} from '../support/golden.js';
import { type Case, cases, expectedTensors, location } from './cases.js';

type Dict = Record<string, unknown>;

/** Without what the case says not to compare. */
function compared(cfg: Dict | undefined, { ignore = [] }: Case): Dict | undefined {
  if (cfg === undefined) return undefined;
  const drop = (dict: Dict) =>
    Object.fromEntries(Object.entries(dict).filter(([key]) => !ignore.includes(key)));
  return { ...drop(cfg), metadata: drop((cfg.metadata ?? {}) as Dict) };
}

/** float64 is not a dtype of ours: such SAEs load as float32. */
const loadable = (testCase: Case) =>
  testCase.cfg?.dtype === 'float64'
    ? { ...testCase.overrides, dtype: 'float32' }
    : testCase.overrides;

/** The tensors to match: those of the file, or the right ones where upstream is wrong. */
function expectedState(testCase: Case, golden: ReadonlyMap<string, GoldenTensor>) {
  const prefix = testCase.port === 'use_correct' ? 'correct.' : '';
  return [...golden].flatMap(([name, tensor]) => {
    const bare = name.slice(prefix.length);
    const isState = Object.hasOwn(testCase.state ?? {}, bare);
    return name.startsWith(prefix) && isState ? [[bare, tensor] as const] : [];
  });
}

function loadCase(testCase: Case, overrides = testCase.overrides) {
  const loader = loaders[testCase.loader];
  return describeSae(loader, location(testCase, overrides), false, async (described) => ({
    cfgDict: described.cfgDict,
    weights: await loadWeights(described, 'cpu'),
  }));
}

const refused = ({ error, port }: Case) => error !== undefined && port === 'match';

test('there are 124 cases, one of every loader at least', () => {
  expect(cases).toHaveLength(124);
  expect(new Set(cases.map(({ loader }) => loader))).toEqual(new Set(Object.keys(loaders)));
});

test.each(cases.filter(refused))('$name is refused: $about', async (testCase) => {
  const attempt = async () => {
    const { cfgDict, weights } = await loadCase(testCase);
    new SAE({ cfgDict, weights }).dispose();
  };
  const error = await attempt().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error, testCase.error?.message).toBeInstanceOf(MonosemError);
  expect((error as MonosemError).code).toMatch(
    /^ERR_(FORMAT|SHAPE|DTYPE|NOT_FOUND|UNSUPPORTED|UNSAFE_PICKLE)$/,
  );
});

test.each(cases.filter((c) => c.port.startsWith('may_')))(
  '$name is loaded rightly or refused: $about',
  async (testCase) => {
    const { state } = testCase;
    try {
      const { weights } = await loadCase(testCase);
      if (state === undefined) return;
      for (const [name, tensor] of expectedState(testCase, readGolden(expectedTensors(testCase)))) {
        await expectGolden(weights[name] as Tensor, tensor, 0, name);
      }
    } catch (error) {
      expect(error).toBeInstanceOf(MonosemError);
    }
  },
);

test.each(cases.filter((c) => !refused(c) && !c.port.startsWith('may_')))(
  '$name: $about',
  async (testCase) => {
    const { cfgDict, weights } = await loadCase(testCase, loadable(testCase));
    const dtype = testCase.cfg?.dtype === 'float64' ? { dtype: 'float64' } : {};
    expect(compared({ ...cfgDict, ...dtype }, testCase)).toEqual(compared(testCase.cfg, testCase));

    const golden = readGolden(expectedTensors(testCase));
    const state = expectedState(testCase, golden);
    expect(Object.keys(weights).sort()).toEqual(state.map(([name]) => name).sort());
    for (const [name, tensor] of state) {
      const ours = weights[name] as Tensor;
      expect([...ours.shape], name).toEqual([...tensor.shape]);
      if (isSum(testCase, name)) await expectGolden(ours, tensor, 1e-6, name);
      else expect(await numbers(ours), name).toEqual(await rounded(tensor, ours.dtype));
    }
  },
);

/** Decoders added up over layers: torch adds in an order that depends on its vector width. */
const isSum = ({ folder, loader }: Case, name: string) =>
  name === 'W_dec' && (loader.startsWith('mntss') || String(folder).startsWith('clt'));

/** SAELens leaves some checkpoints in their own dtype until the SAE converts them; we convert at once. */
async function rounded({ values, shape }: GoldenTensor, dtype: string): Promise<Float64Array> {
  return numbers(Tensor.from(values, shape, { dtype: dtype as 'float32' }));
}

const configOnly = (c: Case) => typeof c.config_only === 'object' || c.config_without_overrides;

test.each(cases.filter(configOnly))('$name: the configuration alone', async (testCase) => {
  const loader = loaders[testCase.loader];
  const { config_only: only, config_without_overrides: bare } = testCase;
  const check = async (expected: Dict, overrides?: Dict) => {
    const cfg = readConfig(loader, location(testCase, overrides));
    if (expected.error) return expect(cfg).rejects.toThrow(MonosemError);
    return expect(compared(await cfg, testCase)).toEqual(compared(expected, testCase));
  };
  if (typeof only === 'object') await check(only);
  if (bare !== undefined) await check(bare, {});
});

interface NameRow {
  readonly loader: LoaderName;
  readonly repo_id: string;
  readonly folder: string;
  readonly overrides?: Dict;
  readonly cfg?: Dict;
  readonly error?: { type: string; message: string };
}

test('configurations from names alone', async () => {
  const { names } = readJson<{ names: NameRow[] }>(fixture('loaders/tables.json'));
  expect(names.length).toBeGreaterThan(100);
  // No file there is: gemma_3 takes its dimensions from a header, here of w_enc [24, 64], w_dec [64, 24].
  const shapes = { w_enc: [24, 64], w_dec: [64, 24] };
  const header = {
    path: 'params.safetensors',
    tensors: new Map(
      Object.entries(shapes).map(([name, shape]) => [name, { dtype: 'float32', shape }]),
    ),
    load: () => Promise.reject(new Error('not to be loaded')),
    row: () => Promise.reject(new Error('not to be read')),
    dispose: () => {},
  };
  const files = {
    file: () => Promise.reject(new MonosemError('ERR_NOT_FOUND', 'no files')),
    tryFile: async () => undefined,
    readRange: () => Promise.reject(new Error('no files')),
    size: () => Promise.reject(new Error('no files')),
  };
  for (const row of names) {
    const { repo_id: repoId, folder, overrides = {} } = row;
    const input = { repoId, folder, overrides, files, open: async () => header };
    const cfg = loaders[row.loader].config(input).then(migrateConfig);
    const what = `${row.loader} ${repoId} ${folder}`;
    if (row.error) await expect(cfg, what).rejects.toThrow(MonosemError);
    else expect(await cfg, what).toEqual(row.cfg);
  }
});
