/** SAEs in models against what SAELens 6.44.3 computed: fixtures/splice, on the models of fixtures/models. */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedSAETransformer } from '../../lib/hooked_sae_transformer.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { SAE } from '../../lib/sae/sae.js';
import type { Tensor } from '../../lib/tensor.js';
import {
  expectGolden,
  fixture,
  type GoldenTensor,
  readGolden,
  readJson,
} from '../support/golden.js';

interface Note {
  readonly hook_in: string;
  readonly hook_out: string;
  readonly ablated_feature: number;
  readonly keys: readonly string[];
}

const LOGITS = 1e-4;

function tokensOf(golden: ReadonlyMap<string, GoldenTensor>) {
  const { values, shape } = golden.get('tokens') as GoldenTensor;
  return { ids: Int32Array.from(values), shape: shape as [number, number] };
}

describe.each(readdirSync(fixture('splice')))('%s', (family) => {
  const folders = readdirSync(fixture(`splice/${family}`)).filter((name) => !name.includes('.'));
  const whole = folders.filter((name) => name.startsWith('forward_'));
  const cases = folders.filter((name) => !name.startsWith('forward_'));
  const pathOf = (name: string) => fixture(`splice/${family}/${name}`);
  let model: HookedSAETransformer;

  beforeAll(async () => {
    model = await HookedSAETransformer.fromPretrainedNoProcessing(fixture(`models/${family}`));
  });
  afterAll(() => model.dispose());

  describe.each(cases)('%s', (name) => {
    const golden = readGolden(`${pathOf(name)}/io.safetensors`);
    const note = readJson<Note>(`${pathOf(name)}/note.json`);
    const tokens = tokensOf(golden);
    const acts = `${note.hook_out}.hook_sae_acts_post`;
    const check = (actual: Tensor, key: string) =>
      expectGolden(actual, golden.get(key), LOGITS, key);
    const ablate = (f: FeatureActs) => void f.zero(note.ablated_feature);
    let sae: SAE;

    beforeAll(async () => {
      sae = await SAE.loadFromDisk(pathOf(name));
    });
    afterAll(() => sae.dispose());

    it('replaces the activation, for the run and no longer', async () => {
      await check(await model.forward(tokens), 'clean_logits');
      await check(await model.runWithSaes(tokens, { saes: sae }), 'logits');
      await check(await model.forward(tokens), 'clean_logits');
      expect(model.actsToSaes.size).toBe(0);
    });

    it('caches its points, and the plain one with its output', async () => {
      const { logits, cache } = await model.runWithCacheWithSaes(tokens, { saes: [sae] });
      await check(logits, 'logits');
      for (const [key, expected] of golden) {
        if (!key.startsWith('cache.')) continue;
        const value = cache.get(key.slice('cache.'.length)) as Tensor | FeatureActs;
        await expectGolden('dense' in value ? value.dense() : value, expected, LOGITS, key);
      }
      const output = cache.get(`${note.hook_out}.hook_sae_output`);
      expect(await cache.get(note.hook_out).data()).toEqual(await output.data());
      cache.dispose();
    });

    it('has every point of SAELens with the error term, and the plain one', async () => {
      const { logits, cache } = await model.runWithCacheWithSaes(tokens, {
        saes: sae,
        useErrorTerm: true,
      });
      await check(logits, 'logits_with_error');
      await check(logits, 'clean_logits');
      await check(cache.get(`${note.hook_out}.hook_sae_error`), 'error');
      const wanted = new Set([...note.keys, note.hook_out]);
      const missing = [...wanted].filter((key) => !cache.has(key));
      expect(missing).toEqual([]);
      cache.dispose();
    });

    it('carries an ablation, with and without the error term', async () => {
      const fwdHooks = [[acts, ablate]] as never;
      await check(
        await model.runWithHooksWithSaes(tokens, { saes: sae, fwdHooks }),
        'logits_ablated',
      );
      const withError = { saes: sae, useErrorTerm: true };
      await check(
        await model.runWithHooksWithSaes(tokens, { ...withError, fwdHooks }),
        'logits_ablated_with_error',
      );
      const zero = (error: Tensor) => error.mul(0);
      await check(
        await model.runWithHooksWithSaes(tokens, {
          ...withError,
          fwdHooks: [[`${note.hook_out}.hook_sae_error`, zero]],
        }),
        'logits_error_zeroed',
      );
    });

    it('gives the same attached, in a context, and by each way to hook', async () => {
      {
        using _ = model.saes(sae);
        await check(await model.forward(tokens), 'logits');
        using hook = model.addHook(acts, ablate as never);
        await check(await model.forward(tokens), 'logits_ablated');
        hook.remove();
      }
      await check(await model.forward(tokens), 'clean_logits');
      model.addSae(sae, { useErrorTerm: true });
      expect([...model.actsToSaes]).toEqual([[note.hook_in, sae]]);
      await check(await model.forward(tokens), 'logits_with_error');
      const replace = async (f: FeatureActs) => {
        const dense = f.dense();
        await dense.data();
        dense.slice(null, null, note.ablated_feature).fill(0);
        return dense;
      };
      await check(
        await model.runWithHooks(tokens, { fwdHooks: [[acts, replace]] as never }),
        'logits_ablated_with_error',
      );
      model.resetSaes({ actNames: note.hook_in });
      await check(await model.forward(tokens), 'clean_logits');
      const inside = await model.withSaes(sae, (same) => same.forward(tokens));
      await check(inside, 'logits');
    });
  });

  it('runs all of them at once', async () => {
    const golden = readGolden(pathOf('all.safetensors'));
    const tokens = tokensOf(golden);
    const loaded = await Promise.all(cases.map((name) => SAE.loadFromDisk(pathOf(name))));
    const taken = new Set<string>();
    const saes = loaded.filter(({ cfg: { metadata } }) => {
      const out = metadata.hookNameOut ?? (metadata.hookName as string);
      return !taken.has(out) && taken.add(out);
    });
    await expectGolden(await model.runWithSaes(tokens, { saes }), golden.get('logits'), LOGITS);
    const withError = await model.runWithSaes(tokens, { saes, useErrorTerm: true });
    await expectGolden(withError, golden.get('logits_with_error'), LOGITS);
    for (const sae of loaded) sae.dispose();
  });

  it.each(whole)('%s applies its whole forward', async (name) => {
    const golden = readGolden(`${pathOf(name)}/forward.safetensors`);
    const { hook_out: out } = readJson<Note>(`${pathOf(name)}/note.json`);
    const tokens = tokensOf(golden);
    using sae = await SAE.loadFromDisk(pathOf(name));
    const { logits, cache } = await model.runWithCacheWithSaes(tokens, { saes: sae });
    await expectGolden(logits, golden.get('logits'), LOGITS, 'logits');
    await expectGolden(cache.get(out), golden.get('output'), LOGITS, 'output');
    const acts = cache.get(`${out}.hook_sae_acts_post`);
    await expectGolden(acts.dense(), golden.get('acts_post'), LOGITS, 'acts_post');
    cache.dispose();
    const kept = await model.runWithSaes(tokens, { saes: sae, useErrorTerm: true });
    await expectGolden(kept, golden.get('clean_logits'), LOGITS, 'clean_logits');
  });
});
