import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LanguageModel } from '../../lib/auto_model.js';
import type { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import type { TraceBody } from '../../lib/model/trace.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, numbers, relativeError } from '../support/golden.js';

const input = [[1, 5, 9, 13, 2, 3]];

describe('trace', () => {
  let model: HookedTransformer;
  let gemma: HookedTransformer;
  beforeAll(async () => {
    model = await LanguageModel.fromPretrained(fixture('models/gpt2'));
    gemma = await LanguageModel.fromPretrained(fixture('models/gemma2'));
  });
  afterAll(async () => {
    await model.dispose();
    await gemma.dispose();
  });
  const run = async (name: string, of = model) => {
    const { cache } = await of.runWithCache(input, { namesFilter: name });
    return numbers(cache.get(name));
  };

  it('reads outputs, outputs[0] and inputs of modules', async () => {
    const read = await model.trace(input, async (t) => ({
      input: await t.transformer.h[0].input,
      mid: await t.transformer.h[0].attn.c_proj.input,
      first: await t.transformer.h[0].output,
      second: await t.transformer.h[1].output[0],
      logits: await t.lm_head.output,
    }));
    expect(await numbers(read.input)).toEqual(await run('blocks.0.hook_resid_pre'));
    expect(await numbers(read.mid)).toEqual(await run('blocks.0.attn.hook_z'));
    expect(await numbers(read.first)).toEqual(await run('blocks.0.hook_resid_post'));
    expect(await numbers(read.second)).toEqual(await run('blocks.1.hook_resid_post'));
    expect(await numbers(read.logits)).toEqual(await numbers(await model.forward(input)));
  });

  it('replaces outputs by assignment, in place, and through [0]', async () => {
    const want = await numbers(
      await model.runWithHooks(input, {
        fwdHooks: [['blocks.0.hook_resid_post', (act: Tensor) => act.mul(3)]],
      }),
    );
    const assigned = await model.trace(input, async (t) => {
      const layer = t.transformer.h[0];
      layer.output = (await layer.output).mul(3);
      return await t.lm_head.output;
    });
    const inPlace = await model.trace(input, async (t) => {
      (await t.transformer.h[0].output[0]).mulInPlace(3);
      return await t.lm_head.output;
    });
    const first = await model.trace(input, async (t) => {
      const layer = t.transformer.h[0];
      const h = await layer.output;
      await h.data(); // other waiting does not let the forward run on
      layer.output[0] = h.mul(3);
      return await t.lm_head.output;
    });
    const ahead = await model.trace(input, async (t) => {
      const before = await t.transformer.h[0].input;
      t.transformer.h[1].output = Tensor.zeros(before.shape);
      return await t.transformer.ln_f.input;
    });
    for (const logits of [assigned, inPlace, first]) expect(await numbers(logits)).toEqual(want);
    expect(Math.max(...(await numbers(ahead)))).toBe(0);
  });

  it('gives raw logits at lm_head and the softcapped ones at the output', async () => {
    const { raw, logits } = await gemma.trace(input, async (t) => ({
      raw: await t.lm_head.output,
      logits: await t.output.logits,
    }));
    const capped = await numbers(logits);
    expect(capped).toEqual(await numbers(await gemma.forward(input)));
    const want = (await numbers(raw)).map((x) => 30 * Math.tanh(x / 30));
    expect(relativeError(capped, want)).toBeLessThan(1e-6);
  });

  it('runs several inputs in one batch, each body seeing its rows', async () => {
    const prompts = [
      [7, 8, 9, 10, 11],
      [4, 5, 6],
    ] as const;
    const [one, two] = await model.trace((t) =>
      Promise.all([
        t.invoke([[...prompts[0]]], async (inner) => {
          const layer = inner.transformer.h[0];
          layer.output = (await layer.output).mul(2);
          return await inner.lm_head.output;
        }),
        t.invoke([[...prompts[1]]], async (inner) => {
          const hidden = await inner.transformer.h[0].output;
          expect(hidden.shape).toEqual([1, 5, 32]);
          return await inner.lm_head.output;
        }),
      ]),
    );
    const first = await model.runWithHooks([...prompts[0]], {
      fwdHooks: [['blocks.0.hook_resid_post', (act: Tensor) => act.mul(2)]],
    });
    expect(relativeError(await numbers(one), await numbers(first))).toBeLessThan(1e-6);
    const second = await numbers(await model.forward([...prompts[1]]));
    const padded = (await numbers(two)).slice(2 * model.cfg.dVocab);
    expect(relativeError(padded, second)).toBeLessThan(1e-6);
  });

  it('frees what is neither returned nor saved', async () => {
    let kept: Tensor | undefined;
    let lost: Tensor | undefined;
    const returned = await model.trace(input, async (t) => {
      lost = await t.transformer.h[0].input;
      kept = t.save(await t.transformer.h[0].output);
      return { deep: [await t.transformer.h[1].output] };
    });
    expect(returned.deep[0].shape).toEqual([1, 6, 32]);
    await returned.deep[0].data();
    await (kept as Tensor).data();
    await expect((async () => (lost as Tensor).data())()).rejects.toMatchObject({
      code: 'ERR_DISPOSED',
    });
  });

  it('ends the forward when the body is done or stops it', async () => {
    let fired = false;
    using _ = model.addHook('blocks.1.hook_resid_pre', () => {
      fired = true;
    });
    await model.trace(input, async (t) => {
      await t.transformer.h[0].output;
    });
    const late = model.trace(input, async (t) => {
      await t.transformer.h[0].output;
      t.stop();
      await t.transformer.h[1].output;
    });
    await expect(late).rejects.toThrowError(/stopped/);
    expect(fired).toBe(false);
  });

  it('says what was read too late, does not exist, or does not fit', async () => {
    const fails = (body: TraceBody<unknown>, code: string, message: RegExp) =>
      expect(model.trace(input, body)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await fails(
      async (t) => {
        await t.transformer.h[1].output;
        await t.transformer.h[0].output;
      },
      'ERR_HOOK',
      /h\.0\.output.*has run already.*blocks\.1\.hook_resid_post/,
    );
    await fails((t) => t.transformer.h[5].output, 'ERR_HOOK', /no hook point/);
    await fails(
      async (t) => {
        t.transformer.h[0].output = 3;
      },
      'ERR_INVALID_ARGUMENT',
      /Tensor/,
    );
    await fails(
      async (t) => {
        t.transformer.h[0].output = Tensor.zeros([2]);
        await t.transformer.h[1].output;
      },
      'ERR_SHAPE',
      /must have its shape/,
    );
    const mine = model.trace(input, async (t) => {
      await t.transformer.h[0].output;
      throw new RangeError('mine');
    });
    await expect(mine).rejects.toThrowError(RangeError);
    await expect(model.trace(() => 3)).resolves.toBe(3);
    const none = model.trace((t) => t.lm_head.output);
    await expect(none).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const tooLate = model.trace(input, async (t) => {
      await t.transformer.h[0].output;
      await t.invoke(input, () => {});
    });
    await expect(tooLate).rejects.toThrowError(/before the first await/);
  });
});
