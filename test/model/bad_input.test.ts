import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, readJson } from '../support/golden.js';

const scratch = mkdtempSync(join(tmpdir(), 'monosem-model-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A copy of a fixture model to spoil. */
function copy(family: string, name: string, config: object = {}): string {
  const folder = join(scratch, name);
  cpSync(fixture(`models/${family}`), folder, { recursive: true });
  const whole = { ...readJson(join(folder, 'config.json')), ...config };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(whole));
  return folder;
}

function refuses(folder: string, code: string, message: RegExp, options = {}) {
  return expect(
    HookedTransformer.fromPretrainedNoProcessing(folder, options),
  ).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
}

describe('a model folder that cannot be loaded', () => {
  it('is missing, or lacks a file', async () => {
    await refuses(join(scratch, 'nowhere'), 'ERR_NOT_FOUND', /no model folder/);
    await refuses('', 'ERR_INVALID_ARGUMENT', /name or folder/);
    await refuses('nonsense-model', 'ERR_NOT_FOUND', /no Hugging Face id/);
    const folder = copy('gpt2', 'no-weights');
    rmSync(join(folder, 'model.safetensors'));
    await refuses(folder, 'ERR_NOT_FOUND', /model\.safetensors.*save_pretrained/);
    rmSync(join(folder, 'config.json'));
    await refuses(folder, 'ERR_NOT_FOUND', /config\.json/);
  });

  it('has a config.json that is not JSON', async () => {
    const folder = copy('gpt2', 'not-json');
    writeFileSync(join(folder, 'config.json'), '{"model_type": ');
    await refuses(folder, 'ERR_FORMAT', /config\.json is not JSON/);
    writeFileSync(join(folder, 'config.json'), '[]');
    await refuses(folder, 'ERR_FORMAT', /JSON object, got an array/);
  });

  it('lacks a tensor, or has one of another shape', async () => {
    await refuses(copy('gpt2', 'layers', { n_layer: 3 }), 'ERR_FORMAT', /lack.*h\.2\.ln_1\.weight/);
    await refuses(
      copy('llama', 'vocab', { vocab_size: 65 }),
      'ERR_FORMAT',
      /embed_tokens\.weight.*\[65,32\].*\[64,32\]/,
    );
    await refuses(copy('llama', 'qwen', { model_type: 'qwen2' }), 'ERR_FORMAT', /q_proj\.bias/);
  });

  it('has an index of shards that points elsewhere', async () => {
    const folder = copy('gpt2', 'index');
    const index = join(folder, 'model.safetensors.index.json');
    writeFileSync(index, JSON.stringify({ weight_map: { a: '../secret.safetensors' } }));
    await refuses(folder, 'ERR_FORMAT', /names of \.safetensors files beside it/);
    writeFileSync(index, '{}');
    await refuses(folder, 'ERR_FORMAT', /weight_map/);
  });

  it('is asked for in a dtype there is not', async () => {
    await refuses(fixture('models/gpt2'), 'ERR_DTYPE', /int8/, { dtype: 'int8' });
  });

  it('has a tokenizer.json that is none', async () => {
    const folder = copy('gpt2', 'tokenizer');
    writeFileSync(join(folder, 'tokenizer.json'), '{"model": 3}');
    await refuses(folder, 'ERR_TOKENIZER', /tokenizer\.json/);
  });
});

describe('a run that cannot be', () => {
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await HookedTransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
  });
  afterAll(() => model.dispose());

  const fails = (promise: Promise<unknown>, code: string, message: RegExp) =>
    expect(promise).rejects.toMatchObject({ code, message: expect.stringMatching(message) });

  it('has tokens outside the vocabulary, or none', async () => {
    await fails(model.forward([1, 64]), 'ERR_INVALID_ARGUMENT', /token 64 at \[0, 1\].*64 tokens/);
    await fails(model.forward([[1], [-2]]), 'ERR_INVALID_ARGUMENT', /token -2 at \[1, 0\]/);
    await fails(model.forward([1.5]), 'ERR_INVALID_ARGUMENT', /whole numbers/);
    await fails(model.forward([]), 'ERR_INVALID_ARGUMENT', /empty list|at least one/);
    await fails(model.forward([[]]), 'ERR_SHAPE', /at least one token/);
    const shape = [2, 2] as const;
    await fails(model.forward({ ids: Int32Array.of(1, 2, 3), shape }), 'ERR_SHAPE', /3 ids/);
    const mask = new Uint8Array(3);
    const ids = new Int32Array(4);
    await fails(model.forward({ ids, shape, mask }), 'ERR_SHAPE', /mask entry per token/);
    await fails(model.forward({} as never), 'ERR_INVALID_ARGUMENT', /expected text/);
    await fails(model.forward(Array(65).fill(1)), 'ERR_INVALID_ARGUMENT', /64 positions/);
  });

  it('needs a tokenizer that is not there', async () => {
    await fails(model.forward('text'), 'ERR_TOKENIZER', /no tokenizer\.json; pass token ids/);
    expect(() => model.toTokens('text')).toThrowError(/tokenizer/);
    expect(() => model.tokenizer).toThrowError(/tokenizer/);
    const { tokens, text } = await model.generate([1, 2], { maxNewTokens: 1 });
    expect(tokens.shape).toEqual([1, 3]);
    expect(text).toBe('');
  });

  it('starts or stops at a layer there is not, or with the wrong input', async () => {
    await fails(model.forward([1], { stopAtLayer: 3 }), 'ERR_INVALID_ARGUMENT', /from 0 to 2/);
    await fails(model.forward([1], { startAtLayer: 1 }), 'ERR_INVALID_ARGUMENT', /residual/);
    const narrow = Tensor.zeros([1, 2, 31]);
    await fails(model.forward(narrow, { startAtLayer: 1 }), 'ERR_SHAPE', /\[batch, pos, 32\]/);
    const residual = Tensor.zeros([1, 2, 32]);
    const loss = { startAtLayer: 1, returnType: 'loss' } as const;
    await fails(model.forward(residual, loss), 'ERR_INVALID_ARGUMENT', /`tokens`/);
    await fails(model.forward([1], { returnType: 'loss' }), 'ERR_INVALID_ARGUMENT', /two tokens/);
  });

  it('was aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await fails(model.forward([1], { signal }), 'ERR_ABORTED', /aborted/);
    await refuses(fixture('models/gpt2'), 'ERR_ABORTED', /aborted/, { signal });
  });

  it('is aborted between blocks while the event loop turns', async () => {
    const batch = Array.from({ length: 256 }, () => Array.from({ length: 64 }, (_, i) => i));
    const controller = new AbortController();
    const run = model.runWithHooks(batch, {
      signal: controller.signal,
      fwdHooks: [['blocks.0.hook_resid_post', () => controller.abort()]],
    });
    await fails(run, 'ERR_ABORTED', /aborted/);
    const after = await model.forward(batch, { stopAtLayer: 1 });
    expect(after.shape).toEqual([256, 64, 32]);
  });

  it('has a hook that throws, and the next run is whole', async () => {
    const before = await (await model.forward([1, 2])).data();
    const broken = model.runWithHooks([1, 2], {
      fwdHooks: [
        [
          'blocks.1.hook_resid_mid',
          () => {
            throw new RangeError('mine');
          },
        ],
      ],
    });
    await expect(broken).rejects.toThrowError(RangeError);
    expect(await (await model.forward([1, 2])).data()).toEqual(before);
  });

  it('comes after dispose', async () => {
    const gone = await HookedTransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
    const flying = gone.forward([1, 2]);
    await flying;
    await gone.dispose();
    await fails(gone.forward([1]), 'ERR_DISPOSED', /disposed; load it again/);
    await fails(gone.generate([1]), 'ERR_DISPOSED', /disposed/);
    expect(() => gone.addHook('hook_embed', () => {})).toThrowError(/disposed/);
    expect(() => gone.trace([1], () => {})).toThrowError(/disposed/);
  });
});
