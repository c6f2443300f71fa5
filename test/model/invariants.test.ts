import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelEngine } from '../../lib/model/engine.js';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { KeyValueCache } from '../../lib/model/key_value_cache.js';
import { loadModel } from '../../lib/model/load.js';
import type { Tokens } from '../../lib/model/tokens.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, numbers, readGolden, relativeError } from '../support/golden.js';

const families = [
  'gpt2',
  'neox',
  'llama',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma1',
  'gemma2',
  'gemma3',
];

describe.each(families)('%s', (family) => {
  const golden = readGolden(fixture(`models/${family}/acts.safetensors`)).get('tokens');
  const ids = Int32Array.from(golden?.values ?? []);
  const full: Tokens = { ids, shape: [2, 12] };
  let model: HookedTransformer;
  let engine: ModelEngine;
  beforeAll(async () => {
    const path = fixture(`models/${family}`);
    model = await HookedTransformer.fromPretrainedNoProcessing(path);
    engine = new ModelEngine(await loadModel(path, {}), 'transformer_lens');
  });
  afterAll(async () => {
    await model.dispose();
    engine.dispose();
  });
  const logitsOf = async (input: Tokens) => numbers(await model.forward(input));

  it('stops at a layer and starts there again with the same logits', async () => {
    const whole = await logitsOf(full);
    for (const layer of [0, 1, -1]) {
      const residual = await model.forward(full, { stopAtLayer: layer });
      const rest = await model.forward(residual, { startAtLayer: layer });
      expect(await numbers(rest)).toEqual(whole);
    }
  });

  it('is blind to padding on the left', async () => {
    // Row 0 is the first 9 tokens behind 3 pads; row 1 has no pads.
    const rows = [ids.subarray(0, 9), ids.subarray(12, 24)];
    const padded = new Int32Array(24).fill(5);
    padded.set(rows[0] as Int32Array, 3);
    padded.set(rows[1] as Int32Array, 12);
    const mask = new Uint8Array(24).fill(1);
    mask.fill(0, 0, 3);
    const both = await logitsOf({ ids: padded, shape: [2, 12], mask });
    const vocab = model.cfg.dVocab;
    const alone = await logitsOf({ ids: ids.slice(0, 9), shape: [1, 9] });
    expect(both.slice(3 * vocab, 12 * vocab)).toEqual(alone);
    const second = await logitsOf({ ids: ids.slice(12), shape: [1, 12] });
    expect(both.slice(12 * vocab)).toEqual(second);
  });

  it('gives the same logits over a key-value cache, token by token', async () => {
    const mask = new Uint8Array(24).fill(1);
    mask.fill(0, 0, 2);
    for (const tokens of [full, { ...full, mask }]) {
      const whole = await logitsOf(tokens);
      using keyValues = new KeyValueCache(engine.model.cfg);
      const vocab = model.cfg.dVocab;
      const part = (from: number, to: number): Tokens => {
        const cut = <T extends Int32Array | Uint8Array>(all: T) =>
          [0, 1].flatMap((row) => [...all.subarray(row * 12 + from, row * 12 + to)]);
        return {
          ids: Int32Array.from(cut(tokens.ids)),
          shape: [2, to - from],
          mask: Uint8Array.from(cut('mask' in tokens ? tokens.mask : mask.map(() => 1))),
        };
      };
      const cuts = [0, 7, 8, 9, 11, 12];
      for (let i = 1; i < cuts.length; i++) {
        const [from, to] = cuts.slice(i - 1, i + 1) as [number, number];
        const logits = (await engine.run(part(from, to), { keyValues })) as Tensor;
        const got = await numbers(logits);
        for (const row of [0, 1]) {
          const first = Math.max(from, 'mask' in tokens && row === 0 ? 2 : 0);
          const want = whole.slice((row * 12 + first) * vocab, (row * 12 + to) * vocab);
          const skip = (row * (to - from) + first - from) * vocab;
          const have = got.slice(skip, skip + want.length);
          expect(relativeError(have, want), `${from}-${to}, row ${row}`).toBeLessThan(1e-5);
        }
      }
    }
  });

  it('has pattern rows that sum to 1, and to 0 at pads', async () => {
    const mask = new Uint8Array(24).fill(1);
    mask.fill(0, 0, 4);
    const { cache } = await model.runWithCache(
      { ...full, mask },
      { namesFilter: (name) => name.endsWith('hook_pattern') },
    );
    for (const [, pattern] of cache) {
      const sums = await numbers((pattern as Tensor).sum(-1));
      const heads = model.cfg.nHeads;
      sums.forEach((sum, i) => {
        const isPad = i < heads * 12 && i % 12 < 4;
        expect(sum).toBeCloseTo(isPad ? 0 : 1, 5);
      });
    }
  });

  it('computes the same whoever listens', async () => {
    const plain = await logitsOf(full);
    const { logits } = await model.runWithCache(full);
    expect(relativeError(await numbers(logits), plain)).toBeLessThan(1e-6);
    const everything = await model.runWithCache(full, { namesFilter: () => true });
    expect(relativeError(await numbers(everything.logits), plain)).toBeLessThan(1e-5);
    expect(everything.cache.keys()).toEqual(model.hookNames);
    const edits = await model.runWithHooks(full, {
      fwdHooks: [[(name) => !name.includes('tokens'), (act: Tensor | FeatureActs) => act.clone()]],
    });
    expect(relativeError(await numbers(edits), plain)).toBeLessThan(1e-5);
  });

  it('adds attention and MLP to the residual', async () => {
    const { cache } = await model.runWithCache(full);
    const sum = cache
      .get('resid_pre', 1)
      .add(cache.get('attn_out', 1))
      .add(cache.get('mlp_out', 1));
    const post = await numbers(cache.get('resid_post', 1));
    expect(relativeError(await numbers(sum), post)).toBeLessThan(1e-6);
  });

  it('sums head results to what attention adds before its norm', async () => {
    const name = model.cfg.postNorms ? 'attn.hook_out' : 'hook_attn_out';
    const { cache } = await model.runWithCache(full, {
      namesFilter: ['blocks.0.attn.hook_result', `blocks.0.${name}`],
    });
    const total = cache.get('result', 0).sum(2);
    const bias = engine.model.weights.blocks[0]?.attn.b_O ?? Tensor.zeros([model.cfg.dModel]);
    const want = await numbers(cache.get(`blocks.0.${name}`));
    expect(relativeError(await numbers(total.add(bias)), want)).toBeLessThan(1e-5);
  });
});
