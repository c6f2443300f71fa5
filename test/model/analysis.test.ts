import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import type { Tensor } from '../../lib/tensor.js';
import { fixture, numbers, relativeError } from '../support/golden.js';

const input = [
  [1, 5, 9, 13, 2, 3],
  [4, 4, 8, 60, 33, 7],
];
const families = ['gpt2', 'llama', 'gemma2'];

const close = async (actual: Tensor, expected: Tensor, tolerance = 1e-5) =>
  expect(relativeError(await numbers(actual), await numbers(expected))).toBeLessThan(tolerance);

describe.each(families)('the residual stream of %s', (family) => {
  let model: HookedTransformer;
  let raw: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrained(fixture(`models/${family}`));
    raw = await HookedTransformer.fromPretrainedNoProcessing(fixture(`models/${family}`));
  });
  afterAll(async () => {
    await model.dispose();
    await raw.dispose();
  });

  it('is the sum of its parts', async () => {
    const { cache } = await raw.runWithCache(input);
    const whole = cache.decomposeResid();
    await close(whole.stack.sum(0), cache.get('resid_post', -1));
    const embeds = family === 'gpt2' ? ['embed', 'pos_embed'] : ['embed'];
    const parts = ['0_attn_out', '0_mlp_out', '1_attn_out', '1_mlp_out'];
    expect(whole.labels).toEqual([...embeds, ...parts]);
    const before = cache.decomposeResid(1, { mlpInput: true });
    await close(before.stack.sum(0), cache.get('resid_mid', 1));
    const mlps = cache.decomposeResid(null, { mode: 'mlp', inclEmbeds: false });
    expect(mlps.labels).toEqual(['0_mlp_out', '1_mlp_out']);
  });

  it('accumulates by layer', async () => {
    const { logits, cache } = await raw.runWithCache(input);
    const { stack, labels } = cache.accumulatedResid(null, { inclMid: true });
    expect(labels).toEqual(['0_pre', '0_mid', '1_pre', '1_mid', 'final_post']);
    await close(stack.at(1), cache.get('resid_mid', 0), 1e-9);
    expect(cache.accumulatedResid(1).labels).toEqual(['0_pre', '1_pre']);
    const lens = cache.accumulatedResid(null, { applyLn: true });
    if (family !== 'gemma2') await close(lens.stack.at(-1).matmul(raw.W_U), logits);
    const earlier = cache.accumulatedResid(1, { applyLn: true });
    await close(earlier.stack.at(-1), cache.get('normalized', 1, 'ln1'));
  });

  it('splits into heads and a remainder', async () => {
    const { cache } = await raw.runWithCache(input);
    const { stack, labels } = cache.stackHeadResults(null, { inclRemainder: true });
    expect(labels).toEqual(
      [0, 1].flatMap((l) => [0, 1, 2, 3].map((h) => `L${l}H${h}`)).concat('remainder'),
    );
    await close(stack.sum(0), cache.get('resid_post', -1));
    const named = await raw.runWithCache(input, {
      namesFilter: ['blocks.0.attn.hook_result', 'blocks.0.attn.hook_z'],
    });
    await close(named.cache.stackHeadResults(1).stack.at(2), cache.stackHeadResults(1).stack.at(2));
  });

  it('attributes logits to parts', async () => {
    const { logits, cache } = await model.runWithCache(input, {
      namesFilter: (name) => !name.includes('input') && !name.includes('_in'),
    });
    const parts = cache.decomposeResid(null, { applyLn: true });
    const tokens = [
      [3, 1, 4, 1, 5, 9],
      [2, 6, 5, 3, 5, 8],
    ];
    const attributed = await numbers(cache.logitAttrs(parts, tokens).sum(0));
    // Before the final softcap, and without the bias that folding ln_final's gives the unembedding.
    const { cache: last } = await model.runWithCache(input, { namesFilter: 'unembed.hook_out' });
    const values = await numbers(last.get('unembed.hook_out'));
    const bias = await numbers((await model.forward(input)).mul(0));
    const b_U = model.b_U === undefined ? bias : await numbers(model.b_U);
    tokens.flat().forEach((token, place) => {
      const want = (values[place * 64 + token] as number) - (b_U[token] as number);
      expect(attributed[place]).toBeCloseTo(want, 4);
    });
    const one = await numbers(cache.logitAttrs(parts, 3, { incorrectTokens: 7 }).sum(0));
    const difference = (values[3] as number) - (values[7] as number);
    expect(one[0]).toBeCloseTo(difference - ((b_U[3] as number) - (b_U[7] as number)), 4);
    expect(logits.shape).toEqual([2, 6, 64]);
  });

  it('says what it cannot do', async () => {
    const { cache } = await raw.runWithCache(input, { namesFilter: 'hook_embed' });
    expect(() => cache.decomposeResid()).toThrowError(/hook_pos_embed|hook_attn_out/);
    expect(() => cache.accumulatedResid(7)).toThrowError(/layer from 0 to 2/);
    expect(() => cache.stackHeadResults(0)).toThrowError(/nothing before layer 0/);
    expect(() => cache.logitAttrs(cache.get('hook_embed'), 64)).toThrowError(/vocabulary/);
  });
});

describe('processed weights', () => {
  it.each([...families, 'neox', 'qwen2', 'gemma3'])(
    'of %s predict the same, and do what they say',
    async (family) => {
      const path = fixture(`models/${family}`);
      await using raw = await HookedTransformer.fromPretrainedNoProcessing(path);
      await using model = await HookedTransformer.fromPretrained(path);
      const [want, got] = [await raw.forward(input), await model.forward(input)];
      await close(got.logSoftmax(), want.logSoftmax());
      const isLayerNorm = raw.cfg.norm.kind === 'layer';
      expect(model.cfg.processing).toEqual({
        foldLn: true,
        centerWritingWeights: isLayerNorm,
        centerUnembed: raw.cfg.finalSoftcap === 0,
      });
      const names = ['blocks.1.hook_resid_post', 'blocks.1.attn.hook_pattern'];
      const before = await raw.runWithCache(input, { namesFilter: names });
      const after = await model.runWithCache(input, { namesFilter: names });
      await close(after.cache.get('pattern', 1), before.cache.get('pattern', 1));
      const mean = (await numbers(after.cache.get('resid_post', 1).mean(-1))).map(Math.abs);
      if (isLayerNorm) expect(Math.max(...mean)).toBeLessThan(1e-5);
      else await close(after.cache.get('resid_post', 1), before.cache.get('resid_post', 1));
      const centred = (await numbers(got.mean(-1))).map(Math.abs);
      if (raw.cfg.finalSoftcap === 0) expect(Math.max(...centred)).toBeLessThan(1e-5);
    },
  );

  it('can be asked for one by one, in the spelling of an SAE', async () => {
    const path = fixture('models/gpt2');
    await using one = await HookedTransformer.fromPretrainedNoProcessing(path, {
      center_writing_weights: true,
    });
    expect(one.cfg.processing).toEqual({
      foldLn: false,
      centerWritingWeights: true,
      centerUnembed: false,
    });
    const { cache } = await one.runWithCache(input, { namesFilter: 'hook_embed' });
    const mean = (await numbers(cache.get('hook_embed').mean(-1))).map(Math.abs);
    expect(Math.max(...mean)).toBeLessThan(1e-6);
  });
});
