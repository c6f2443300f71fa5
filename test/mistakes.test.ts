/** What people get wrong on the first day, in TypeScript or without it, and the sentences they get. */
import { inspect } from 'node:util';
import {
  type ErrorCode,
  FeatureActs,
  HookedSAETransformer,
  MonosemError,
  SAE,
  Tensor,
} from 'monosem';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const modelPath = 'assets/demo/model';
const saePath = 'assets/demo/saes/blocks.2.hook_resid_post';
const at = 'blocks.2.hook_resid_post';

let model: HookedSAETransformer;
let sae: SAE;
beforeAll(async () => {
  model = await HookedSAETransformer.fromPretrainedNoProcessing(modelPath);
  sae = await SAE.loadFromDisk(saePath);
});
afterAll(async () => {
  sae.dispose();
  await model.dispose();
});

/** A call as JavaScript would make it, whatever the types say. */
async function expectError(code: ErrorCode, words: RegExp, call: () => unknown): Promise<void> {
  const error = await Promise.resolve()
    .then(call)
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(MonosemError);
  expect((error as MonosemError).code).toBe(code);
  expect((error as MonosemError).message).toMatch(words);
}
// biome-ignore lint/suspicious/noExplicitAny: the types forbid these calls, which is the point
const untyped = (value: unknown): any => value;

describe('mistakes', () => {
  it('in numbers', async () => {
    await expectError('ERR_DTYPE', /expected numbers, got a string/, () =>
      Tensor.from(untyped(['1'])),
    );
    using acts = FeatureActs.from(Tensor.from([[0, 1, 2]]));
    await expectError('ERR_INVALID_ARGUMENT', /whole number/, () => acts.topk(-1));
    await expectError('ERR_INVALID_ARGUMENT', /whole number/, () => acts.topk(1.5));
    await expectError('ERR_INVALID_ARGUMENT', /features in \[0, 3\), got undefined/, () =>
      untyped(acts).zero(),
    );
  });

  it('in what is loaded: keywords as in Python, nothing at all', async () => {
    await expectError('ERR_INVALID_ARGUMENT', /two strings, got object and undefined/, () =>
      untyped(SAE).fromPretrained({ release: 'gpt2-small-res-jb', saeId: 'x' }),
    );
    await expectError('ERR_INVALID_ARGUMENT', /two strings, got string and undefined/, () =>
      untyped(SAE).fromPretrained('gpt2-small-res-jb'),
    );
    await expectError('ERR_INVALID_ARGUMENT', /folder's path, got undefined/, () =>
      untyped(SAE).loadFromDisk(),
    );
  });

  it('in what is run', async () => {
    await expectError('ERR_INVALID_ARGUMENT', /expected text/, () => untyped(model).forward());
    await expectError('ERR_INVALID_ARGUMENT', /"logits", "loss" or null, got "both"/, () =>
      model.forward('a', { returnType: untyped('both') }),
    );
    await expectError('ERR_INVALID_ARGUMENT', /expected an SAE to attach, got string/, () =>
      model.runWithSaes('a', { saes: untyped(['gpt2']) }),
    );
  });

  it('in hooks: another shape, a tensor kept beyond its run', async () => {
    await expectError('ERR_SHAPE', new RegExp(`'${at}' returned shape \\[2,192\\]`), () =>
      model.runWithHooks([1, 2], { fwdHooks: [[at, (act: Tensor) => act.slice(0)]] }),
    );
    let kept: Tensor | undefined;
    await model.runWithHooks('a', {
      fwdHooks: [
        [
          at,
          (act: Tensor) => {
            kept = act;
          },
        ],
      ],
    });
    await expectError('ERR_DISPOSED', /clone\(\) what must outlive a hook/, () => kept?.data());
  });
});

it('console.log shows what a thing is, not its insides', async () => {
  const { cache } = await model.runWithCacheWithSaes('a', { saes: sae, namesFilter: at });
  expect(inspect(cache)).toMatch(`Cache of 1: ${at}`);
  expect(inspect(cache.get(at))).toBe(`Tensor [1, 2, 192] float32 on ${model.device}`);
  expect(inspect(FeatureActs.from(Tensor.zeros([2, 3], { device: 'cpu' })))).toBe(
    'FeatureActs [2, 3] on cpu',
  );
  expect(inspect(sae)).toBe(`SAE jumprelu 192 -> 1536 at ${at} on ${sae.device}`);
  expect(inspect(model)).toBe(
    `HookedSAETransformer model: 4 layers of width 192 on ${model.device}`,
  );
  const gone = Tensor.zeros([1]);
  gone.dispose();
  expect(inspect(gone)).toBe('Tensor (disposed)');
  cache.dispose();
});
