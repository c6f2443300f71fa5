import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { expectGolden, fixture, readGolden, readJson } from '../support/golden.js';

interface Note {
  readonly text: string;
  readonly tokens: readonly string[];
  readonly loss: number;
}

/** The shipped model on real texts, against Hugging Face transformers in float32. */
describe('the demo model', () => {
  const notes = readJson<readonly Note[]>(fixture('demo/note.json'));
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrainedNoProcessing(
      fileURLToPath(new URL('../../assets/demo/model', import.meta.url)),
    );
  });
  afterAll(() => model.dispose());

  it.each([0, 1, 2])('gives the tokens, logits, loss and residuals of text %i', async (i) => {
    const golden = readGolden(fixture(`demo/${i}.safetensors`));
    const { text, tokens, loss } = notes[i] as Note;
    expect(model.toStrTokens(text)).toEqual(tokens);
    expect([...model.toTokens(text).ids]).toEqual([...(golden.get('tokens')?.values ?? [])]);
    const { logits, cache } = await model.runWithCache(text, {
      namesFilter: ['blocks.1.hook_resid_post', 'blocks.2.hook_resid_post'],
    });
    await expectGolden(logits, golden.get('logits'), 1e-4, 'logits');
    await expectGolden(cache.get('resid_post', 1), golden.get('resid_post_1'), 1e-4, 'resid 1');
    await expectGolden(cache.get('resid_post', 2), golden.get('resid_post_2'), 1e-4, 'resid 2');
    const measured = await (await model.forward(text, { returnType: 'loss' })).item();
    expect(Math.abs(measured - loss)).toBeLessThan(1e-4 * loss);
  });
});
