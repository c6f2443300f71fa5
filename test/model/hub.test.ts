import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { fixture, numbers } from '../support/golden.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';

const demo = fileURLToPath(new URL('../../assets/demo/model/', import.meta.url));

describe('a model of the hub', () => {
  let hub: TestHub;
  let cacheDir: string;
  const load = (name: string, more = {}) =>
    HookedTransformer.fromPretrainedNoProcessing(name, { endpoint: hub.url, cacheDir, ...more });

  beforeAll(async () => {
    cacheDir = mkdtempSync(join(tmpdir(), 'monosem-model-hub-'));
    hub = await startTestHub({});
    const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
    const whole = Object.fromEntries(files.map((file) => [file, readFileSync(demo + file)]));
    hub.push('openai-community/gpt2', whole);
    const llama = fixture('models/llama/');
    const shard = 'model-00001-of-00001.safetensors';
    hub.push('meta-llama/tiny', {
      'config.json': readFileSync(`${llama}/config.json`),
      [shard]: readFileSync(`${llama}/model.safetensors`),
      'model.safetensors.index.json': JSON.stringify({
        weight_map: { 'model.norm.weight': shard },
      }),
    });
    hub.push('someone/pickled', {
      'config.json': readFileSync(`${llama}/config.json`),
      'pytorch_model.bin': 'x',
    });
  });
  afterAll(async () => {
    await hub.close();
    rmSync(cacheDir, { recursive: true });
  });

  it('is found by its short name, with its tokenizer, and then offline', async () => {
    await using model = await load('gpt2-small');
    await using local = await HookedTransformer.fromPretrainedNoProcessing(demo);
    expect(model.cfg.modelName).toBe('gpt2-small');
    const text = 'In the beginning';
    const logits = await numbers(await model.forward(text));
    expect(logits).toEqual(await numbers(await local.forward(text)));
    hub.requests.length = 0;
    await using again = await load('openai-community/gpt2', { offline: true });
    expect(await numbers(await again.forward(text))).toEqual(logits);
    expect(hub.requests).toEqual([]);
  });

  it('is read from its shards', async () => {
    await using model = await load('meta-llama/tiny');
    expect((await model.forward([1, 2, 3])).shape).toEqual([1, 3, 64]);
  });

  it('must hold safetensors, and be there', async () => {
    await expect(load('someone/pickled')).rejects.toMatchObject({
      code: 'ERR_NOT_FOUND',
      message: expect.stringContaining('model.safetensors'),
    });
    await expect(load('someone/else')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
    await expect(load('someone/else', { offline: true })).rejects.toMatchObject({
      code: 'ERR_OFFLINE',
    });
  });
});
