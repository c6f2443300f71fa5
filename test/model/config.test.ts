import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../lib/model/families/index.js';
import { embedScale } from '../../lib/model/forward.js';
import { JsonReader } from '../../lib/model/json_reader.js';
import { repositoryOf } from '../../lib/model/names.js';
import { inverseFrequencies, type RotaryConfig } from '../../lib/model/rotary.js';

const read = (config: object) =>
  readModelConfig(new JsonReader(config, 'config.json'), 'm', 'float32').cfg;

const gemma3_4b = {
  architectures: ['Gemma3ForConditionalGeneration'],
  model_type: 'gemma3',
  text_config: {
    hidden_size: 2560,
    intermediate_size: 10240,
    model_type: 'gemma3_text',
    num_hidden_layers: 34,
    rope_scaling: { factor: 8.0, rope_type: 'linear' },
    sliding_window: 1024,
  },
};

const llama31 = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000.0,
  rope_scaling: {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  vocab_size: 128256,
};

function frequencies(rotary: RotaryConfig | undefined, at: Record<number, number>): void {
  const table = inverseFrequencies(rotary as RotaryConfig);
  for (const [i, value] of Object.entries(at)) {
    expect(Math.abs((table[Number(i)] as number) / value - 1), `index ${i}`).toBeLessThan(3e-7);
  }
}

describe('config.json', () => {
  it('of Gemma 3 4B: nested, class defaults omitted, two rotations', () => {
    const cfg = read(gemma3_4b);
    expect(cfg).toMatchObject({
      nLayers: 34,
      dModel: 2560,
      nHeads: 8,
      nKeyValueHeads: 4,
      dHead: 256,
      dVocab: 262208,
      nCtx: 131072,
      bosTokenId: 2,
      eosTokenIds: [1],
      padTokenId: 0,
      qkNorm: true,
      postNorms: true,
      attnSoftcap: 0,
      finalSoftcap: 0,
      tiedEmbeddings: true,
      norm: { kind: 'rms', eps: 1e-6, weightOffset: 1 },
    });
    const full = cfg.layers.flatMap(({ window }, i) => (window === 0 ? [i] : []));
    expect(full).toEqual([5, 11, 17, 23, 29]);
    expect(cfg.layers[0]).toMatchObject({ window: 1024, attnScale: 1 / 16 });
    frequencies(cfg.layers[5]?.rotary, {
      0: 0.125,
      1: 0.112210892,
      32: 0.00395284733,
      64: 0.000125000006,
      127: 1.39246737e-7,
    });
    frequencies(cfg.layers[0]?.rotary, {
      0: 1,
      1: 0.930572033,
      32: 0.100000001,
      64: 0.00999999978,
      127: 0.000107460779,
    });
  });

  it('of Gemma 3 in the newer generation says the same', () => {
    const { rope_scaling: _, ...text } = gemma3_4b.text_config;
    const newer = {
      ...gemma3_4b,
      text_config: {
        ...text,
        rope_parameters: {
          full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
          sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
        },
        layer_types: Array.from({ length: 34 }, (_, i) =>
          (i + 1) % 6 === 0 ? 'full_attention' : 'sliding_attention',
        ),
      },
    };
    expect(read(newer)).toEqual(read(gemma3_4b));
  });

  it('of Llama 3.1 and 3.2 scales frequencies by band', () => {
    const cfg = read(llama31);
    expect(cfg).toMatchObject({ nKeyValueHeads: 8, dHead: 128, tiedEmbeddings: false });
    frequencies(cfg.layers[0]?.rotary, {
      0: 1,
      1: 0.814617217,
      16: 0.0376060307,
      32: 0.000524846022,
      34: 0.000178507791,
      36: 7.78465546e-5,
      48: 6.64786967e-6,
      63: 3.06892588e-7,
    });
    const small = { ...llama31, hidden_size: 2048, num_attention_heads: 32 };
    const scaled = { ...small, rope_scaling: { ...llama31.rope_scaling, factor: 32 } };
    frequencies(read(scaled).layers[0]?.rotary, {
      0: 1,
      1: 0.663601279,
      8: 0.0376060307,
      16: 0.000429556705,
      18: 1.94616387e-5,
      20: 8.57025589e-6,
      24: 1.66196742e-6,
      31: 9.41830649e-8,
    });
    const { rope_scaling, rope_theta, ...rest } = llama31;
    expect(read({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } })).toEqual(cfg);
  });

  it('of Mistral has a window unless it says null', () => {
    const mistral = { model_type: 'mistral' };
    const windows = (config: object) => new Set(read(config).layers.map(({ window }) => window));
    expect(windows(mistral)).toEqual(new Set([4096]));
    expect(windows({ ...mistral, sliding_window: null })).toEqual(new Set([0]));
    expect(read(mistral).nKeyValueHeads).toBe(8);
  });

  it('of Qwen ignores the window unless it is switched on', () => {
    const qwen = { model_type: 'qwen2', sliding_window: 131072, num_hidden_layers: 4 };
    expect(read(qwen).layers.map(({ window }) => window)).toEqual([0, 0, 0, 0]);
    expect(read(qwen).defaultPrependBos).toBe(false);
    const on = { ...qwen, use_sliding_window: true, max_window_layers: 2, sliding_window: 8 };
    expect(read(on).layers.map(({ window }) => window)).toEqual([0, 0, 8, 8]);
  });

  it('of Gemma 2 caps scores and logits, and slides in even layers', () => {
    const gemma = read({ model_type: 'gemma2', num_hidden_layers: 3, query_pre_attn_scalar: 144 });
    expect(gemma).toMatchObject({ attnSoftcap: 50, finalSoftcap: 30, dHead: 256 });
    expect(gemma.layers.map(({ window }) => window)).toEqual([4096, 0, 4096]);
    expect(gemma.layers[0]?.attnScale).toBeCloseTo(1 / 12, 12);
    expect(read({ model_type: 'gemma2', attn_logit_softcapping: null }).attnSoftcap).toBe(0);
  });

  it('of Gemma 1 means tanh GELU whatever hidden_act says', () => {
    expect(read({ model_type: 'gemma', hidden_act: 'gelu' }).activation).toBe('gelu_tanh');
  });

  it('of GPT-NeoX reads both generations', () => {
    const old = { model_type: 'gpt_neox', rotary_pct: 0.25, rotary_emb_base: 10000 };
    const cfg = read({ ...old, hidden_size: 512, num_attention_heads: 8 });
    expect(cfg).toMatchObject({ parallel: true, activation: 'gelu', bosTokenId: 0 });
    expect(cfg.layers[0]?.rotary).toMatchObject({ dim: 16, theta: 1e4 });
    const parameters = { partial_rotary_factor: 0.25, rope_theta: 1e4, rope_type: 'default' };
    const newer = { model_type: 'gpt_neox', rope_parameters: parameters };
    expect(read({ ...newer, hidden_size: 512, num_attention_heads: 8 })).toEqual(cfg);
  });

  it('of GPT-2 needs nothing but its type, and scales by layer where asked', () => {
    expect(read({ model_type: 'gpt2' })).toMatchObject({ dModel: 768, dMlp: 3072, nCtx: 1024 });
    const scaled = read({ model_type: 'gpt2', scale_attn_by_inverse_layer_idx: true });
    expect(scaled.layers[3]?.attnScale).toBeCloseTo(1 / 32, 12);
  });

  it('that is not what it should be is refused, with the key', () => {
    const fails = (config: object, code: string, message: RegExp) =>
      expect(() => read(config)).toThrowError(
        expect.objectContaining({ code, message: expect.stringMatching(message) }),
      );
    fails({}, 'ERR_FORMAT', /model_type/);
    fails({ model_type: 'qwen3_5' }, 'ERR_UNSUPPORTED', /qwen3_5.*supported types are gpt2/);
    fails({ model_type: 'gpt_oss' }, 'ERR_UNSUPPORTED', /gpt_oss/);
    fails({ model_type: 'gpt2', n_layer: '12' }, 'ERR_FORMAT', /n_layer.*whole number.*"12"/);
    fails({ model_type: 'gpt2', n_layer: 0 }, 'ERR_FORMAT', /n_layer/);
    fails({ model_type: 'gpt2', n_layer: 1e12 }, 'ERR_FORMAT', /from 1 to 4096/);
    fails({ model_type: 'llama', num_hidden_layers: 1e9 }, 'ERR_FORMAT', /from 1 to 4096/);
    fails({ model_type: 'qwen3_moe', num_experts: 1e9 }, 'ERR_FORMAT', /num_experts/);
    fails({ model_type: 'llama', head_dim: 63 }, 'ERR_FORMAT', /even number.*63/);
    fails({ model_type: 'gpt2', n_head: 7 }, 'ERR_FORMAT', /divisor of n_embd/);
    fails({ model_type: 'llama', num_key_value_heads: 5 }, 'ERR_FORMAT', /divisor of 32/);
    fails({ model_type: 'llama', num_attention_heads: 33 }, 'ERR_FORMAT', /head_dim/);
    fails({ model_type: 'llama', hidden_act: 'xielu' }, 'ERR_UNSUPPORTED', /xielu.*silu/);
    fails({ model_type: 'llama', rope_scaling: { type: 'yarn' } }, 'ERR_UNSUPPORTED', /yarn/);
    fails({ model_type: 'llama', rope_scaling: { type: 'linear' } }, 'ERR_FORMAT', /factor/);
    fails({ model_type: 'gemma2', layer_types: ['full_attention'] }, 'ERR_FORMAT', /26 times/);
    fails({ model_type: 'gpt2', eos_token_id: 'x' }, 'ERR_FORMAT', /token id/);
    fails({ model_type: 'qwen3_moe', mlp_only_layers: [1] }, 'ERR_UNSUPPORTED', /mlp_only/);
  });
});

describe('names', () => {
  it.each([
    ['gpt2-small', 'openai-community/gpt2'],
    ['GPT2', 'openai-community/gpt2'],
    ['gemma-2-2b', 'google/gemma-2-2b'],
    ['gemma-2b-it', 'google/gemma-2b-it'],
    ['pythia-70m-deduped', 'EleutherAI/pythia-70m-deduped'],
    ['qwen3-0.6b', 'Qwen/Qwen3-0.6B'],
    ['qwen2.5-7b-instruct', 'Qwen/Qwen2.5-7B-Instruct'],
    ['mistral-7b', 'mistralai/Mistral-7B-v0.1'],
    ['meta-llama/Llama-3.1-8B', 'meta-llama/Llama-3.1-8B'],
  ])('%s stands for %s', (name, repository) => {
    expect(repositoryOf(name)).toBe(repository);
  });
});

describe('the embedding scale of Gemma', () => {
  it.each([
    [640, 25.25],
    [1152, 34],
    [2048, 45.25],
    [2304, 48],
    [2560, 50.5],
    [3072, 55.5],
    [3584, 59.75],
    [3840, 62],
    [4608, 68],
    [5376, 73.5],
  ])('of width %i is %f in bfloat16', (width, scale) => {
    expect(embedScale(width, 'bfloat16')).toBe(scale);
    expect(embedScale(width, 'float32')).toBe(Math.fround(Math.sqrt(width)));
  });
});
