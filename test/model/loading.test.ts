import { cpSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import { native } from '../../lib/native.js';
import { SAETransformerBridge } from '../../lib/sae_transformer_bridge.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, numbers, readGolden, readJson, relativeError } from '../support/golden.js';

const scratch = mkdtempSync(join(tmpdir(), 'monosem-load-'));
afterAll(() => rmSync(scratch, { recursive: true }));

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

function tokensOf(family: string) {
  const golden = readGolden(fixture(`models/${family}/acts.safetensors`));
  const tokens = golden.get('tokens');
  return {
    golden,
    input: {
      ids: Int32Array.from(tokens?.values ?? []),
      shape: tokens?.shape as [number, number],
    },
  };
}

/** Every tensor of a fixture model, by name. */
async function tensorsOf(family: string): Promise<Map<string, Tensor>> {
  const path = fixture(`models/${family}/model.safetensors`);
  const file = native.openTensorFile(path, 'safetensors');
  const tensors = new Map<string, Tensor>();
  for (const { name } of file.tensors) {
    tensors.set(name, new Tensor(await native.loadTensor(file, name, null, 'cpu', false, false)));
  }
  return tensors;
}

function write(path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  return native.writeSafetensors(
    path,
    [...tensors.keys()],
    [...tensors.values()].map(({ handle }) => handle),
  );
}

describe('loading', () => {
  it.each(families)('%s in bfloat16 stays near the float32 logits', async (family) => {
    const { golden, input } = tokensOf(family);
    await using model = await HookedTransformer.fromPretrainedNoProcessing(
      fixture(`models/${family}`),
      { dtype: 'bfloat16' },
    );
    expect(model.W_E.dtype).toBe('bfloat16');
    const logits = await model.forward(input);
    expect(logits.dtype).toBe('bfloat16');
    const want = golden.get('hf_logits')?.values as Float64Array;
    const theirs = golden.get('hf_bf16_logits')?.values as Float64Array;
    const scale = Math.max(...want.map(Math.abs));
    const worst = (got: Float64Array) =>
      got.reduce((max, x, i) => Math.max(max, Math.abs(x - (want[i] as number))), 0) / scale;
    expect(worst(await numbers(logits))).toBeLessThan(Math.max(0.02, 2 * worst(theirs)));
  });

  it('reads shards behind an index', async () => {
    const folder = join(scratch, 'sharded');
    cpSync(fixture('models/llama'), folder, { recursive: true });
    rmSync(join(folder, 'model.safetensors'));
    const all = [...(await tensorsOf('llama'))];
    const weight_map: Record<string, string> = {};
    for (const [i, part] of [all.slice(0, 7), all.slice(7)].entries()) {
      const name = `model-0000${i + 1}-of-00002.safetensors`;
      await write(join(folder, name), new Map(part));
      for (const [tensor] of part) weight_map[tensor] = name;
    }
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
    const { golden, input } = tokensOf('llama');
    await using model = await HookedTransformer.fromPretrainedNoProcessing(folder);
    const logits = await numbers(await model.forward(input));
    expect(relativeError(logits, golden.get('hf_logits')?.values as Float64Array)).toBeLessThan(
      1e-5,
    );
  });

  it('finds the text model inside a multimodal Gemma 3', async () => {
    const folder = join(scratch, 'multimodal');
    cpSync(fixture('models/gemma3'), folder, { recursive: true });
    const text = readJson(join(folder, 'config.json'));
    const config = { model_type: 'gemma3', text_config: text, vision_config: {} };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    const { golden, input } = tokensOf('gemma3');
    const tensors = await tensorsOf('gemma3');
    for (const prefix of ['language_model.model.', 'model.language_model.']) {
      const renamed = [...tensors].map(
        ([name, tensor]) => [name.replace(/^model\./, prefix), tensor] as const,
      );
      const tower = ['vision_tower.embeddings.weight', Tensor.zeros([2, 2])] as const;
      await write(join(folder, 'model.safetensors'), new Map([...renamed, tower]));
      await using model = await HookedTransformer.fromPretrainedNoProcessing(folder);
      const logits = await numbers(await model.forward(input));
      const want = golden.get('hf_logits')?.values as Float64Array;
      expect(relativeError(logits, want)).toBeLessThan(1e-5);
    }
  });

  it('holds float32 weights once, tied ones too', async () => {
    await native.fence('cpu');
    native.trim('cpu');
    const before = native.memory('cpu').inUse;
    await using model = await HookedTransformer.fromPretrainedNoProcessing(fixture('models/gpt2'));
    const size = statSync(fixture('models/gpt2/model.safetensors')).size;
    expect(native.memory('cpu').inUse - before).toBeLessThan(1.1 * size);
    expect(model.W_U.shape).toEqual([32, 64]);
    await model.dispose();
    expect(native.memory('cpu').inUse).toBeLessThanOrEqual(before);
  });

  it('keys caches by the names of TransformerBridge under SAETransformerBridge', async () => {
    const path = fixture('models/gemma3');
    await using bridge = await SAETransformerBridge.bootTransformers(path);
    const { cache } = await bridge.runWithCache(tokensOf('gemma3').input, {
      namesFilter: ['blocks.3.hook_resid_post', 'hook_embed', 'blocks.3.mlp.hook_pre'],
    });
    expect(cache.keys()).toEqual([
      'embed.hook_out',
      'blocks.3.mlp.gate.hook_out',
      'blocks.3.hook_out',
    ]);
    expect(cache.get('resid_post', 3)).toBe(cache.get('model.language_model.layers.3.output'));
    expect(bridge.hookNames).toContain('blocks.0.ln1_post.hook_out');
    expect(bridge.hookNames).not.toContain('blocks.0.hook_resid_pre');
  });
});

describe('Qwen 3 MoE', () => {
  const experts = 4;
  const active = 2;

  /** The fixture of Qwen 3 with four experts of random weights in each layer. */
  async function folder(normalize: boolean): Promise<string> {
    const path = join(scratch, `moe-${normalize}`);
    if (existsSync(path)) return path;
    cpSync(fixture('models/qwen3'), path, { recursive: true });
    const config = {
      ...readJson(join(path, 'config.json')),
      model_type: 'qwen3_moe',
      num_experts: experts,
      num_experts_per_tok: active,
      norm_topk_prob: normalize,
      moe_intermediate_size: 24,
    };
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    const tensors = await tensorsOf('qwen3');
    for (const name of [...tensors.keys()]) if (name.includes('.mlp.')) tensors.delete(name);
    for (const layer of [0, 1]) {
      const at = `model.layers.${layer}.mlp`;
      tensors.set(`${at}.gate.weight`, Tensor.randn([experts, 32], { seed: 9 + layer }));
      for (let e = 0; e < experts; e++) {
        const seed = 100 * layer + 10 * e;
        const expert = (name: string, shape: number[], i: number) =>
          tensors.set(
            `${at}.experts.${e}.${name}_proj.weight`,
            Tensor.randn(shape, { seed: seed + i }).mul(0.2),
          );
        expert('gate', [24, 32], 1);
        expert('up', [24, 32], 2);
        expert('down', [32, 24], 3);
      }
    }
    await write(join(path, 'model.safetensors'), tensors);
    return path;
  }

  /** One token through router and experts in float64. */
  function reference(
    x: Float64Array,
    w: Map<string, Float64Array>,
    at: string,
    normalize: boolean,
  ) {
    const times = (name: string, input: Float64Array) => {
      const matrix = w.get(name) as Float64Array;
      const rows = matrix.length / input.length;
      return Float64Array.from({ length: rows }, (_, r) =>
        input.reduce((sum, v, i) => sum + v * (matrix[r * input.length + i] as number), 0),
      );
    };
    const logits = times(`${at}.gate.weight`, x);
    const total = logits.reduce((sum, l) => sum + Math.exp(l), 0);
    const shares = [...logits].map((l, e) => ({ e, p: Math.exp(l) / total }));
    const best = shares.sort((a, b) => b.p - a.p).slice(0, active);
    const kept = normalize ? best.reduce((sum, { p }) => sum + p, 0) : 1;
    const out = new Float64Array(x.length);
    for (const { e, p } of best) {
      const gate = times(`${at}.experts.${e}.gate_proj.weight`, x);
      const up = times(`${at}.experts.${e}.up_proj.weight`, x);
      const hidden = gate.map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] as number));
      times(`${at}.experts.${e}.down_proj.weight`, hidden).forEach((v, i) => {
        out[i] = (out[i] as number) + (p / kept) * v;
      });
    }
    return out;
  }

  it.each([true, false])('sends tokens to their experts (renormalised: %s)', async (normalize) => {
    const path = await folder(normalize);
    await using model = await HookedTransformer.fromPretrainedNoProcessing(path);
    const file = readGolden(join(path, 'model.safetensors'));
    const w = new Map([...file].map(([name, { values }]) => [name, values]));
    const { cache } = await model.runWithCache(tokensOf('qwen3').input);
    for (const layer of [0, 1]) {
      const x = await numbers(cache.get(`blocks.${layer}.mlp.hook_in`));
      const got = await numbers(cache.get('mlp_out', layer));
      const want = Float64Array.from(
        Array.from({ length: x.length / 32 }, (_, t) => [
          ...reference(x.slice(t * 32, t * 32 + 32), w, `model.layers.${layer}.mlp`, normalize),
        ]).flat(),
      );
      expect(relativeError(got, want)).toBeLessThan(1e-5);
    }
    await expect(
      model.runWithCache([1], { namesFilter: 'blocks.0.mlp.hook_post' }),
    ).rejects.toMatchObject({ code: 'ERR_HOOK' });
    const generated = await model.generate([1, 2, 3], { maxNewTokens: 3, temperature: 0 });
    expect(generated.tokens.shape).toEqual([1, 6]);
  });
});
