import { describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { expectGolden, fixture, readGolden } from '../support/golden.js';

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

/** Activations of TransformerLens, logits of Hugging Face. */
describe.each(families)('golden/models/%s', (family) => {
  const golden = readGolden(fixture(`models/${family}/acts.safetensors`));
  const tokens = golden.get('tokens');
  const input = {
    ids: Int32Array.from(tokens?.values ?? []),
    shape: tokens?.shape as [number, number],
  };

  it('gives every activation and the logits', async () => {
    await using model = await HookedTransformer.fromPretrainedNoProcessing(
      fixture(`models/${family}`),
    );
    const names = [...golden.keys()].filter((name) => name.includes('hook_'));
    const { logits, cache } = await model.runWithCache(input, { namesFilter: names });
    await expectGolden(logits, golden.get('logits'), 1e-4, 'logits');
    await expectGolden(logits, golden.get('hf_logits'), 1e-4, 'hf_logits');
    for (const name of names) await expectGolden(cache.get(name), golden.get(name), 1e-4, name);
    expect(cache.size).toBe(names.length);
    const plain = await model.forward(input);
    await expectGolden(plain, golden.get('hf_logits'), 1e-4, 'hf_logits without hooks');
  });
});
