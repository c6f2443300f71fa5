import type { ModelConfig } from '../config.js';
import type { JsonReader } from '../json_reader.js';
import { readRotary } from '../rotary.js';
import type { WeightFiles } from '../weight_files.js';
import type { BlockWeights, ModelWeights, NormWeights, Projection } from '../weights.js';
import { readActivation, readLayers, readTokenIds } from './common.js';
import type { Family, FamilyConfig } from './family.js';

/** GPT-NeoX, Pythia: attention and MLP side by side, a quarter of each head rotated, exact GELU. */
export const neox: Family = {
  name: 'neox',
  modelTypes: ['gpt_neox'],
  config,
  weights,
  ignores: /\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  modules: {
    prefixes: ['gpt_neox.'],
    embed: 'embed_in',
    layers: 'layers',
    ln1: 'input_layernorm',
    ln2: 'post_attention_layernorm',
    attn: 'attention',
    o: 'dense',
    mlp: 'mlp',
    mlpIn: 'dense_h_to_4h',
    mlpOut: 'dense_4h_to_h',
    lnFinal: 'final_layer_norm',
    heads: ['embed_out', 'lm_head'],
  },
};

function config(text: JsonReader): FamilyConfig {
  const dModel = text.integer('hidden_size', 6144);
  const nHeads = text.integer('num_attention_heads', 64);
  const nLayers = readLayers(text, 'num_hidden_layers', 44);
  const dHead = dModel / nHeads;
  if (!Number.isInteger(dHead)) {
    throw text.wrong('num_attention_heads', `a divisor of hidden_size (${dModel})`, nHeads);
  }
  const parameters = text.object('rope_parameters') ?? text.object('rope_scaling');
  const theta = text.number('rotary_emb_base', text.number('rope_theta', 1e4));
  const share =
    parameters?.number('partial_rotary_factor', text.number('rotary_pct', 0.25)) ??
    text.number('rotary_pct', 0.25);
  const layer = {
    window: 0,
    attnScale: dHead ** -0.5,
    rotary: readRotary(parameters, theta, Math.round(share * dHead)),
  };
  return {
    nLayers,
    dModel,
    nHeads,
    nKeyValueHeads: nHeads,
    dHead,
    dMlp: text.integer('intermediate_size', 24576),
    // Padded past the tokenizer's size; logits keep the padded width.
    dVocab: text.integer('vocab_size', 50432),
    nCtx: text.integer('max_position_embeddings', 2048),
    norm: { kind: 'layer', eps: text.number('layer_norm_eps', 1e-5), weightOffset: 0 },
    postNorms: false,
    qkNorm: false,
    parallel: text.boolean('use_parallel_residual', true),
    positions: 'rotary',
    layers: Array.from({ length: nLayers }, () => layer),
    attnSoftcap: 0,
    finalSoftcap: 0,
    activation: readActivation(text, 'hidden_act', 'gelu'),
    gated: false,
    embedScaled: false,
    tiedEmbeddings: text.boolean('tie_word_embeddings', false),
    defaultPrependBos: true,
    ...readTokenIds(text, { bos: 0, eos: 2 }),
  };
}

function weights(files: WeightFiles, cfg: ModelConfig): ModelWeights {
  const { dModel: d, dMlp: m } = cfg;
  const prefix = files.prefix(['gpt_neox.', ''], 'embed_in.weight');
  const norm = (name: string): NormWeights => ({
    w: files.get(`${name}.weight`, [d]),
    b: files.get(`${name}.bias`, [d]),
  });
  // A bias may be switched off (attention_bias false); the file tells.
  const linear = (name: string, dIn: number, dOut: number): Projection => ({
    W: files.get(`${name}.weight`, [dOut, dIn]).transpose(0, 1),
    ...(files.has(`${name}.bias`) && { b: files.get(`${name}.bias`, [dOut]) }),
  });
  const block = (layer: number): BlockWeights => {
    const at = `${prefix}layers.${layer}.`;
    const o = linear(`${at}attention.dense`, d, d);
    const up = linear(`${at}mlp.dense_h_to_4h`, d, m);
    const down = linear(`${at}mlp.dense_4h_to_h`, m, d);
    return {
      ln1: norm(`${at}input_layernorm`),
      ln2: norm(`${at}post_attention_layernorm`),
      attn: {
        qkv: {
          layout: 'head,qkv',
          fused: linear(`${at}attention.query_key_value`, d, 3 * d),
        },
        W_O: o.W,
        ...(o.b && { b_O: o.b }),
      },
      mlp: {
        W_in: up.W,
        ...(up.b && { b_in: up.b }),
        W_out: down.W,
        ...(down.b && { b_out: down.b }),
      },
    };
  };
  const W_E = files.get(`${prefix}embed_in.weight`, [cfg.dVocab, d]);
  const head = cfg.tiedEmbeddings
    ? W_E
    : files.get(`${files.prefix(['embed_out', 'lm_head'], '.weight')}.weight`, [cfg.dVocab, d]);
  return {
    W_E,
    blocks: Array.from({ length: cfg.nLayers }, (_, layer) => block(layer)),
    lnFinal: norm(`${prefix}final_layer_norm`),
    W_U: head.transpose(0, 1),
  };
}
