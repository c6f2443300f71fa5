/** Every folder of fixtures/sae against what SAELens 6.44.3 computed: each tensor of io.safetensors. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HookPoint } from '../../lib/hooks/types.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { SAE } from '../../lib/sae/sae.js';
import type { SaeHook } from '../../lib/sae/sae_hooks.js';
import { Tensor } from '../../lib/tensor.js';
import {
  expectGolden,
  fixture,
  type GoldenTensor,
  readGolden,
  readJson,
} from '../support/golden.js';

interface Note {
  readonly ablated_feature?: number;
}

function input(golden: ReadonlyMap<string, GoldenTensor>): Tensor {
  const { values, shape } = golden.get('x') as GoldenTensor;
  return Tensor.from(Float32Array.from(values), shape);
}

describe.each(readdirSync(fixture('sae')))('%s', (folder) => {
  const path = fixture(`sae/${folder}`);
  const golden = readGolden(`${path}/io.safetensors`);
  const { ablated_feature: ablated } = readJson<Note>(`${path}/note.json`);
  const tolerance = folder.endsWith('bfloat16') ? 2e-2 : 1e-5;
  const check = (actual: Tensor, name: string) =>
    expectGolden(actual, golden.get(name), tolerance, name);

  it('encodes, decodes and runs forward', async () => {
    using sae = await SAE.loadFromDisk(path);
    using x = input(golden);
    using acts = await sae.encode(x);
    await check(acts.dense(), 'encode');
    await check(await sae.decode(acts), 'decode');
    await check(await sae.decode(acts), 'decode');
    await check(await sae.forward(x), 'forward');
  });

  it('shows every hook point, and no others', async () => {
    using sae = await SAE.loadFromDisk(path);
    using x = input(golden);
    const { output, cache } = await sae.runWithCache(x);
    await check(output, 'forward');
    const expected = [...golden.keys()].filter((name) => name.startsWith('hook.'));
    expect(
      cache
        .keys()
        .map((name) => `hook.${name}`)
        .sort(),
    ).toEqual(expected.sort());
    for (const [name, value] of cache) {
      await check('dense' in value ? value.dense() : value, `hook.${name}`);
    }
    cache.dispose();
  });

  it('gives the same through hooks that look and change nothing', async () => {
    using sae = await SAE.loadFromDisk(path);
    using x = input(golden);
    const seen: string[] = [];
    const output = await sae.runWithHooks(x, {
      fwdHooks: [
        [() => true, (_act: Tensor | FeatureActs, hook: HookPoint) => void seen.push(hook.name)],
      ],
    });
    await check(output, 'forward');
    expect(seen.map((name) => `hook.${name}`).sort()).toEqual(
      [...golden.keys()].filter((name) => name.startsWith('hook.')).sort(),
    );
  });

  // Transcoders and temporal SAEs by themselves have no error term.
  const errorTerm = async () => {
    using sae = await SAE.loadFromDisk(path);
    using x = input(golden);
    sae.useErrorTerm = true;
    const { output, cache } = await sae.runWithCache(x);
    await check(output, 'forward_with_error');
    await check(cache.get('hook_sae_error'), 'error');
    const ablate = (acts: FeatureActs) => void acts.zero(ablated as number);
    const run = sae.runWithHooks(x, { fwdHooks: [['hook_sae_acts_post', ablate]] });
    if (cache.has('hook_sae_acts_post')) await check(await run, 'forward_with_error_ablated');
    else await expect(run).rejects.toMatchObject({ code: 'ERR_HOOK' });
  };
  if (golden.has('error')) it('adds the error term, ablated or not', errorTerm);

  it('keeps working after foreign inputs, one vector, no vectors', async () => {
    using sae = await SAE.loadFromDisk(path);
    const { values, shape } = golden.get('x') as GoldenTensor;
    const data = Float32Array.from(values);
    await check((await sae.encode({ data, dims: shape })).dense(), 'encode');
    await check((await sae.encode({ data, shape })).dense(), 'encode');
    if (sae.cfg.architecture === 'temporal') return;
    const width = sae.cfg.reshapeActivations === 'hook_z' ? shape.slice(-2) : shape.slice(-1);
    const size = width.reduce((a, b) => a * b, 1);
    const one = await sae.encode({ data: data.subarray(0, size), shape: width });
    expect(one.shape).toEqual([sae.cfg.dSae]);
    const none = await sae.forward({ data: new Float32Array(0), shape: [0, ...width] });
    expect(none.shape[0]).toBe(0);
  });

  it('knows its full hook names', async () => {
    using sae = await SAE.loadFromDisk(path);
    const point: SaeHook = 'hook_sae_acts_post';
    const { hookName, hookNameOut } = sae.cfg.metadata;
    expect(sae.hookName(point)).toBe(`${hookNameOut ?? hookName}.hook_sae_acts_post`);
  });
});
