import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedSAETransformer } from '../../lib/hooked_sae_transformer.js';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { Sampler } from '../../lib/model/sampler.js';
import type { FeatureActs } from '../../lib/sae/feature_acts.js';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture } from '../support/golden.js';

const demo = fileURLToPath(new URL('../../assets/demo/model', import.meta.url));
const PROMPT = 'In the beginning';

describe.each(['gpt2', 'gemma2', 'gemma3', 'qwen3'])('greedy generation of %s', (family) => {
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrainedNoProcessing(fixture(`models/${family}`));
  });
  afterAll(() => model.dispose());

  it('takes the likeliest token of the full forward each time', async () => {
    const prompts = [
      [7, 8, 9, 10, 11, 12],
      [3, 4, 5],
    ];
    const options = { maxNewTokens: 8, temperature: 0, stopAtEos: false };
    const both = await model.generate(prompts, options);
    expect(both.tokens.shape).toEqual([2, 14]);
    expect([...(both.tokens.mask as Uint8Array).subarray(14, 17)]).toEqual([0, 0, 0]);
    for (const [row, prompt] of prompts.entries()) {
      const want = [...prompt];
      for (let i = 0; i < 8; i++) {
        const logits = await model.forward(want);
        want.push(await logits.at(0, -1).argmax().item());
      }
      const got = [...both.tokens.ids.subarray(row * 14, (row + 1) * 14)];
      expect(got.slice(14 - want.length)).toEqual(want);
    }
  });
});

describe('generation of the demo model', () => {
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrainedNoProcessing(demo);
  });
  afterAll(() => model.dispose());

  it('streams the text that generate gives', async () => {
    const options = { maxNewTokens: 24, seed: 7, stopAtEos: false };
    const { text, tokens } = await model.generate(PROMPT, options);
    expect(text.startsWith(PROMPT)).toBe(true);
    const streamed: number[] = [];
    let told = PROMPT;
    for await (const step of model.generateStream(PROMPT, options)) {
      streamed.push(step.token);
      told += step.text;
    }
    expect(streamed).toEqual([...tokens.ids.subarray(tokens.ids.length - 24)]);
    expect(told).toBe(text);
    const again = await model.generate(PROMPT, options);
    expect(again.tokens.ids).toEqual(tokens.ids);
  });

  it('shows every token to a hook once', async () => {
    let positions = 0;
    const { tokens } = await model.generate(PROMPT, {
      maxNewTokens: 5,
      stopAtEos: false,
      fwdHooks: [
        [
          'blocks.2.hook_resid_post',
          (act: Tensor) => {
            positions += act.shape[1] as number;
          },
        ],
      ],
    });
    expect(positions).toBe(tokens.shape[1] - 1);
  });

  it('is steered by a hook', async () => {
    const options = { maxNewTokens: 6, temperature: 0, stopAtEos: false };
    const plain = await model.generate(PROMPT, options);
    const steered = await model.generate(PROMPT, {
      ...options,
      fwdHooks: [['blocks.3.hook_resid_post', (act: Tensor) => act.mul(-1)]],
    });
    expect(steered.tokens.ids).not.toEqual(plain.tokens.ids);
  });

  it('ends rows at the end-of-sequence token', async () => {
    const stop = { maxNewTokens: 5, temperature: 0 };
    const end = model.cfg.eosTokenIds[0] as number;
    const { tokens } = await model.generate([PROMPT, 'And the'], {
      ...stop,
      fwdHooks: [
        [
          'unembed.hook_out',
          (logits: Tensor) => {
            logits.slice(0, null, end).fill(1e4);
          },
        ],
      ],
    });
    const [, length] = tokens.shape;
    expect(tokens.ids[length - 5]).toBe(end);
    expect([...tokens.ids.subarray(length - 5, length)]).toEqual(Array(5).fill(end));
    const alone = await model.generate(PROMPT, {
      ...stop,
      fwdHooks: [
        ['unembed.hook_out', (logits: Tensor) => void logits.slice(0, null, end).fill(1e4)],
      ],
    });
    expect(alone.tokens.shape[1]).toBe(model.toTokens(PROMPT).shape[1] + 1);
  });

  it('refuses what it cannot do', async () => {
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'nothing',
        (error) => error.code,
      );
    expect(await code(model.generate(PROMPT, { maxNewTokens: 400 }))).toBe('ERR_INVALID_ARGUMENT');
    expect(await code(model.generate(PROMPT, { temperature: -1 }))).toBe('ERR_INVALID_ARGUMENT');
    expect(await code(model.generate(PROMPT, { topP: 2 }))).toBe('ERR_INVALID_ARGUMENT');
    expect(await code(model.generate(PROMPT, { topK: 0 }))).toBe('ERR_INVALID_ARGUMENT');
    expect(await code(model.generate(PROMPT, { saes: [] }))).toBe('ERR_UNSUPPORTED');
    const stream = model.generateStream([PROMPT, PROMPT]);
    expect(await code(stream.next())).toBe('ERR_INVALID_ARGUMENT');
  });

  it('is aborted between tokens', async () => {
    const controller = new AbortController();
    const stream = model.generateStream(PROMPT, { maxNewTokens: 50, signal: controller.signal });
    await stream.next();
    controller.abort();
    await expect(stream.next()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});

describe('generation with SAEs', () => {
  it('splices them into every step, once per token, by option or attached', async () => {
    await using model = await HookedSAETransformer.fromPretrainedNoProcessing(demo);
    using sae = await SAE.loadFromDisk(
      fileURLToPath(new URL('../../assets/demo/saes/blocks.2.hook_resid_post', import.meta.url)),
    );
    const options = { maxNewTokens: 6, temperature: 0, stopAtEos: false };
    let tokens = 0;
    const count = (acts: FeatureActs) => {
      tokens += acts.shape[1] as number;
    };
    const point = sae.hookName('hook_sae_acts_post') as `${string}hook_sae_acts_post`;
    const spliced = await model.generate(PROMPT, {
      ...options,
      saes: [sae],
      fwdHooks: [[point, count]],
    });
    expect(tokens).toBe(spliced.tokens.shape[1] - 1);
    const want = [...model.toTokens(PROMPT).ids];
    for (let i = 0; i < 6; i++) {
      const logits = await model.runWithSaes(want, { saes: sae });
      want.push(await logits.at(0, -1).argmax().item());
    }
    expect([...spliced.tokens.ids]).toEqual(want);
    using _ = model.addSae(sae);
    expect((await model.generate(PROMPT, options)).tokens.ids).toEqual(spliced.tokens.ids);
  });
});

describe('the sampler', () => {
  const row = [0, 2, 1, Number.NEGATIVE_INFINITY];
  const draws = async (options: ConstructorParameters<typeof Sampler>[0], n = 4000) => {
    const sampler = new Sampler({ seed: 1, ...options });
    const logits = Tensor.from(
      Float32Array.from({ length: n * 4 }, (_, i) => row[i % 4] as number),
      [n, 4],
    );
    const counts = [0, 0, 0, 0];
    for (const token of await sampler.draw(logits)) counts[token] = (counts[token] as number) + 1;
    return counts.map((count) => count / n);
  };
  const softmax = (temperature: number) => {
    const weights = row.map((x) => Math.exp(x / temperature));
    const total = weights.reduce((sum, w) => sum + w, 0);
    return weights.map((w) => w / total);
  };

  it.each([0.5, 1, 3])('draws by the softmax at temperature %f', async (temperature) => {
    const shares = await draws({ temperature });
    softmax(temperature).forEach((share, i) => {
      expect(Math.abs((shares[i] as number) - share)).toBeLessThan(0.03);
    });
  });

  it('keeps to top k and top p', async () => {
    expect(await draws({ temperature: 0 })).toEqual([0, 1, 0, 0]);
    expect(await draws({ topK: 1 })).toEqual([0, 1, 0, 0]);
    expect((await draws({ topK: 2 }))[0]).toBe(0);
    expect((await draws({ topK: 9 }))[0]).toBeGreaterThan(0);
    expect(await draws({ topP: 0.6 })).toEqual([0, 1, 0, 0]);
    const shares = await draws({ topP: 0.7 });
    expect(shares[0]).toBe(0);
    expect(shares[2]).toBeGreaterThan(0);
  });

  it('looks as far as top p needs', async () => {
    const flat = new Sampler({ topP: 0.999, seed: 2 });
    const seen = await flat.draw(Tensor.zeros([3000, 2000]));
    expect(Math.max(...seen)).toBeGreaterThan(1900);
    expect(
      Math.max(...(await new Sampler({ topP: 0.1, seed: 2 }).draw(Tensor.zeros([500, 2000])))),
    ).toBeLessThan(201);
  });
});
