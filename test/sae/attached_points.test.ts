import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedSAETransformer } from '../../lib/hooked_sae_transformer.js';
import type { HookPoint } from '../../lib/hooks/types.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { SAETransformerBridge } from '../../lib/sae_transformer_bridge.js';
import type { Tensor } from '../../lib/tensor.js';
import { fixture, relativeError } from '../support/golden.js';
import { close, code, data, IDS, makeSae, POINT } from '../support/random_sae.js';

let model: HookedSAETransformer;
beforeAll(async () => {
  model = await HookedSAETransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
});
afterAll(() => model.dispose());

describe('hooks and points', () => {
  it('fires in order, once each, the plain point last, and lists them', async () => {
    using sae = makeSae();
    using _ = model.addSae(sae, { useErrorTerm: true });
    const seen: string[] = [];
    await model.runWithHooks(IDS, {
      fwdHooks: [
        [
          (name: string) => name.startsWith(POINT),
          (_: unknown, { name }: HookPoint) => void seen.push(name),
        ],
      ],
    });
    const names = ['input', 'acts_pre', 'acts_post', 'recons', 'error', 'output'];
    const points = [...names.map((name) => `${POINT}.hook_sae_${name}`), POINT];
    expect(seen).toEqual(points);
    expect(model.hookNames.filter((name) => name.startsWith(POINT))).toEqual(points);
  });

  it('sees edits at each point, and the error term stays that of the clean pass', async () => {
    using sae = makeSae();
    const run = (name: string, hook: (x: Tensor) => Tensor | undefined) =>
      model.runWithCacheWithSaes(IDS, {
        saes: sae,
        useErrorTerm: true,
        namesFilter: [POINT, `${POINT}.hook_sae_error`],
        fwdHooks: [[`${POINT}.hook_sae_${name}`, hook]],
      } as never);
    const clean = await run('output', () => undefined);
    for (const name of ['input', 'acts_pre', 'recons']) {
      const edited = await run(name, (x) => x.mul(1.5));
      await close(
        edited.cache.get(`${POINT}.hook_sae_error`),
        clean.cache.get(`${POINT}.hook_sae_error`),
      );
      const change = relativeError(
        await data(edited.cache.get(POINT)),
        await data(clean.cache.get(POINT)),
      );
      expect(change, name).toBeGreaterThan(0.01);
    }
  });

  it('reads and hooks by TransformerBridge and Hugging Face names', async () => {
    using sae = makeSae();
    const { cache } = await model.runWithCacheWithSaes(IDS, { saes: sae });
    const wanted = await cache.get(`${POINT}.hook_sae_acts_post`).csr();
    for (const alias of ['blocks.1.hook_in', 'transformer.h.1.input']) {
      expect(await cache.get(`${alias}.hook_sae_acts_post`).csr()).toEqual(wanted);
      await close(cache.get(alias), cache.get(POINT));
    }
    const zero = (acts: FeatureActs) => void acts.keep([]);
    const ablated = await model.runWithHooksWithSaes(IDS, {
      saes: sae,
      fwdHooks: [['transformer.h.1.input.hook_sae_acts_post', zero]] as never,
    });
    const expected = await model.runWithHooksWithSaes(IDS, {
      saes: sae,
      fwdHooks: [[`${POINT}.hook_sae_acts_post`, zero]],
    });
    await close(ablated, expected);
  });

  it('keys a bridge’s cache by its canonical names', async () => {
    const bridge = await SAETransformerBridge.bootTransformers(fixture('models/gpt2'));
    using sae = makeSae();
    const { logits, cache } = await bridge.runWithCacheWithSaes(IDS, { saes: sae });
    await close(logits, model.runWithSaes(IDS, { saes: sae }));
    expect(cache.keys()).toContain('blocks.1.hook_in.hook_sae_acts_post');
    expect(cache.has(`${POINT}.hook_sae_acts_post`)).toBe(true);
    await bridge.dispose();
  });
});

describe('transcoders', () => {
  const metadata = { hook_name: 'blocks.1.mlp.hook_in', hook_name_out: 'blocks.1.hook_mlp_out' };
  const make = () => makeSae({ metadata, cfg: { architecture: 'transcoder' } });

  it('read their input point and write their output point', async () => {
    using transcoder = make();
    const { cache } = await model.runWithCacheWithSaes(IDS, { saes: transcoder });
    const input = cache.get('blocks.1.mlp.hook_in');
    await close(cache.get('blocks.1.hook_mlp_out'), transcoder.forward(input));
    using _ = model.addSae(transcoder);
    expect([...model.actsToSaes.keys()]).toEqual(['blocks.1.mlp.hook_in']);
    model.resetSaes({ actNames: 'blocks.1.mlp.hook_in' });
    expect(model.actsToSaes.size).toBe(0);
  });

  it('let a second SAE read what they wrote', async () => {
    using transcoder = make();
    using sae = makeSae({ metadata: { hook_name: 'blocks.1.hook_resid_post' }, seed: 20 });
    const { cache } = await model.runWithCacheWithSaes(IDS, { saes: [transcoder, sae] });
    const mid = cache.get('blocks.1.hook_resid_mid');
    const written = cache.get('blocks.1.hook_mlp_out');
    await close(cache.get('blocks.1.hook_resid_post'), sae.forward(mid.add(written)));
  });

  it('mean by hook_mlp_in what their Hugging Face name says', async () => {
    using plain = make();
    using trap = makeSae({
      metadata: {
        hook_name: 'blocks.1.hook_mlp_in',
        hook_name_out: 'blocks.1.hook_mlp_out',
        hf_hook_name: 'transformer.h.1.ln_2.output',
        hf_hook_name_out: 'transformer.h.1.mlp.output',
      },
      cfg: { architecture: 'transcoder' },
    });
    const wanted = await model.runWithSaes(IDS, { saes: plain });
    await close(model.runWithSaes(IDS, { saes: trap }), wanted);
  });

  it('say so when a run begins after their input', async () => {
    using transcoder = makeSae({
      metadata: { ...metadata, hook_name: 'blocks.0.mlp.hook_in' },
      cfg: { architecture: 'transcoder' },
    });
    using residual = await model.forward(IDS, { stopAtLayer: 1 });
    await expect(
      model.runWithSaes(residual, { saes: transcoder, startAtLayer: 1 }),
    ).rejects.toThrow(code('ERR_HOOK', /reads 'blocks.0.mlp.hook_in', which did not fire/));
  });
});

it('takes flattened attention outputs at a point kept by head (Gemma Scope 2)', async () => {
  const metadata = { hook_name: 'blocks.1.attn.hook_z' };
  using flat = makeSae({ metadata });
  using byHead = makeSae({ metadata, cfg: { reshape_activations: 'hook_z' } });
  const wanted = await model.runWithSaes(IDS, { saes: byHead });
  await close(model.runWithSaes(IDS, { saes: flat }), wanted);
  const { cache } = await model.runWithCacheWithSaes(IDS, { saes: flat });
  expect(cache.get('blocks.1.attn.hook_z').shape).toEqual([2, 5, 4, 8]);
});
