import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedSAETransformer } from '../../lib/hooked_sae_transformer.js';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, relativeError } from '../support/golden.js';
import { close, code, D_MODEL, data, IDS, makeSae, POINT } from '../support/random_sae.js';

let model: HookedSAETransformer;
beforeAll(async () => {
  model = await HookedSAETransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
});
afterAll(() => model.dispose());

describe('attaching', () => {
  it('replaces what sat at a point, and detaches by its handle, by name or all', async () => {
    using first = makeSae();
    using second = makeSae({ seed: 10 });
    const clean = await model.forward(IDS);
    const one = model.addSae(first);
    const withFirst = await model.forward(IDS);
    const two = model.addSae(second);
    expect([...model.actsToSaes.values()]).toEqual([second]);
    one[Symbol.dispose]();
    expect([...model.actsToSaes.values()]).toEqual([second]);
    two[Symbol.dispose]();
    await close(model.forward(IDS), clean);
    model.addSae(first);
    await close(model.forward(IDS), withFirst);
    model.resetSaes({ actNames: ['blocks.0.hook_resid_pre'] });
    expect(model.actsToSaes.size).toBe(1);
    model.resetSaes({ actNames: 'blocks.1.hook_in' });
    expect(model.actsToSaes.size).toBe(0);
    model.addSae(first);
    model.resetSaes();
    expect(model.actsToSaes.size).toBe(0);
  });

  it('nests contexts: what was there before comes back, after errors too', async () => {
    using outer = makeSae();
    using inner = makeSae({ seed: 10 });
    model.addSae(outer, { useErrorTerm: true });
    const before = await model.forward(IDS);
    {
      using _ = model.saes([inner, outer, inner]);
      expect([...model.actsToSaes.values()]).toEqual([inner]);
    }
    await close(model.forward(IDS), before);
    await expect(
      model.withSaes(inner, async () => {
        throw new Error('mine');
      }),
    ).rejects.toThrow('mine');
    await close(model.forward(IDS), before);
    expect([...model.actsToSaes.values()]).toEqual([outer]);
    model.resetSaes();
  });

  it('leaves them attached when told to', async () => {
    using sae = makeSae();
    const there = await model.runWithSaes(IDS, { saes: sae, resetSaesEnd: false });
    await close(model.forward(IDS), there);
    model.resetSaes();
  });

  it('changes nothing on the SAE, which may sit elsewhere with other options at once', async () => {
    using sae = makeSae();
    using x = Tensor.randn([2, D_MODEL], { seed: 5 });
    const alone = await sae.forward(x);
    sae.useErrorTerm = true;
    using _ = model.addSae(sae);
    sae.useErrorTerm = false;
    const clean = model.runWithSaes(IDS, { saes: [], stopAtLayer: 2 });
    const replaced = model.runWithSaes(IDS, { saes: sae, useErrorTerm: false, stopAtLayer: 2 });
    const other = await HookedSAETransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
    await close(clean, other.forward(IDS, { stopAtLayer: 2 }));
    expect(relativeError(await data(replaced), await data(clean))).toBeGreaterThan(0.01);
    const { cache } = await sae.runWithCache(x);
    expect(cache.keys()).toContain('hook_sae_output');
    await close(sae.forward(x), alone);
    await other.dispose();
  });

  it('keeps runs at once apart', async () => {
    using first = makeSae();
    using second = makeSae({ seed: 10 });
    const wanted = [
      await data(model.forward(IDS)),
      await data(model.runWithSaes(IDS, { saes: first })),
      await data(model.runWithSaes(IDS, { saes: second })),
    ];
    const slow = async (x: Tensor) => {
      await x.data();
    };
    const at = { fwdHooks: [[POINT, slow]] } as const;
    const got = await Promise.all([
      model.runWithHooks(IDS, at),
      model.runWithHooksWithSaes(IDS, { saes: first, ...at }),
      model.runWithHooksWithSaes(IDS, { saes: second, ...at }),
    ]);
    for (const [i, out] of got.entries()) {
      expect(relativeError(await out.data(), wanted[i] as Float32Array)).toBeLessThan(1e-5);
    }
  });
});

describe('excludeSpecialTokens', () => {
  it('keeps the activations of listed tokens, with the error term and without', async () => {
    using sae = makeSae();
    const clean = await model.runWithCache(IDS, { namesFilter: POINT });
    const original = clean.cache.get(POINT);
    for (const useErrorTerm of [false, true]) {
      const { cache } = await model.runWithCacheWithSaes(IDS, {
        saes: sae,
        useErrorTerm,
        excludeSpecialTokens: [1, 31],
        // what is looked at decides which kernels run: the same points as in the clean run
        namesFilter: [POINT, ...(useErrorTerm ? [`${POINT}.hook_sae_error`] : [])],
        fwdHooks: [[`${POINT}.hook_sae_acts_post`, (acts: FeatureActs) => void acts.keep([])]],
      } as never);
      const output = await (cache.get(POINT).toArray() as Promise<number[][][]>);
      const wanted = await (original.toArray() as Promise<number[][][]>);
      IDS.forEach((row, b) => {
        row.forEach((id, p) => {
          const same = expect(output[b]?.[p]);
          if (id === 1 || id === 31) same.toEqual(wanted[b]?.[p]);
          else same.not.toEqual(wanted[b]?.[p]);
        });
      });
      if (!useErrorTerm) continue;
      const error = await (cache.get(`${POINT}.hook_sae_error`).toArray() as Promise<number[][][]>);
      expect(error[1]?.[0]?.every((value) => value === 0)).toBe(true);
      expect(error[0]?.[0]?.some((value) => value !== 0)).toBe(true);
    }
  });

  it('needs a tokenizer, and tokens', async () => {
    using sae = makeSae();
    expect(() => model.addSae(sae, { excludeSpecialTokens: true })).toThrow(code('ERR_TOKENIZER'));
    using residual = await model.forward(IDS, { stopAtLayer: 1 });
    await expect(
      model.runWithSaes(residual, { saes: sae, startAtLayer: 1, excludeSpecialTokens: [1] }),
    ).rejects.toThrow(code('ERR_INVALID_ARGUMENT', /needs token ids/));
  });
});

describe('what does not fit', () => {
  it('is a point that the model lacks or that cannot fire', async () => {
    const at = (metadata: Record<string, unknown>) => () => model.addSae(makeSae({ metadata }));
    expect(at({ hook_name: 'blocks.9.hook_resid_pre' })).toThrow(
      code('ERR_HOOK', /nearest: blocks\.\d\.hook_resid_pre/),
    );
    expect(at({ hook_name_out: 'blocks.1.nowhere' })).toThrow(code('ERR_HOOK', /nowhere/));
    expect(at({ hook_name: 'blocks.1.attn.hook_rot_q' })).toThrow(
      code('ERR_HOOK', /does not rotate/),
    );
    expect(() => model.addSae(makeSae({ metadata: { hook_name: null } }))).toThrow(
      code('ERR_HOOK', /names no hook point/),
    );
    expect(() => model.resetSaes({ actNames: 'blocks.1.hook_resid_prr' })).toThrow(
      code('ERR_HOOK'),
    );
    using sae = makeSae();
    const run = model.runWithHooksWithSaes(IDS, {
      saes: sae,
      fwdHooks: [[`${POINT}.hook_sae_error`, () => {}]],
    });
    await expect(run).rejects.toThrow(code('ERR_HOOK', /useErrorTerm/));
  });

  it('is an SAE of another width', () => {
    expect(() => model.addSae(makeSae({ dIn: 48 }))).toThrow(
      code('ERR_SHAPE', /width 48, 'blocks\.1\.hook_resid_pre'.*width 32/),
    );
    const metadata = { hook_name: 'blocks.1.mlp.hook_post' };
    expect(() => model.addSae(makeSae({ metadata }))).toThrow(code('ERR_SHAPE', /width 32/));
  });

  it('is a model loaded otherwise than the SAE was trained on', async () => {
    const metadata = { model_from_pretrained_kwargs: { center_writing_weights: true } };
    expect(() => model.addSae(makeSae({ metadata }))).toThrow(
      code(
        'ERR_INVALID_ARGUMENT',
        /fromPretrainedNoProcessing\(.*\{ centerWritingWeights: true \}\)/,
      ),
    );
    const fine = { model_from_pretrained_kwargs: { center_writing_weights: false, other: 1 } };
    model.addSae(makeSae({ metadata: fine }))[Symbol.dispose]();
  });

  it('is a model without SAEs, a disposed SAE or a disposed model', async () => {
    const plain = await HookedTransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
    expect('addSae' in plain).toBe(false);
    await plain.dispose();
    const gone = makeSae();
    using _ = model.addSae(gone);
    gone.dispose();
    await expect(model.forward(IDS)).rejects.toThrow(code('ERR_DISPOSED'));
    model.resetSaes();
    expect(() => model.addSae(gone)).toThrow(code('ERR_DISPOSED'));
    const other = await HookedSAETransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
    await other.dispose();
    expect(() => other.addSae(makeSae())).toThrow(code('ERR_DISPOSED'));
    await expect(other.runWithSaes(IDS, { saes: makeSae() })).rejects.toThrow(code('ERR_DISPOSED'));
  });
});

it('applies SAEs once per token while generating', async () => {
  using sae = makeSae();
  let tokens = 0;
  const count = (x: Tensor) => {
    tokens += (x.shape[0] as number) * (x.shape[1] as number);
  };
  await model.generate([5, 9, 2], {
    maxNewTokens: 4,
    temperature: 0,
    stopAtEos: false,
    saes: sae,
    fwdHooks: [[`${POINT}.hook_sae_input`, count]],
  });
  expect(tokens).toBe(3 + 3);
  expect(model.actsToSaes.size).toBe(0);
});
