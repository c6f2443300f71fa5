import type { ModelConfig } from '../config.js';
import type { JsonReader } from '../json_reader.js';
import type { WeightFiles } from '../weight_files.js';
import type { BlockWeights, ModelWeights, NormWeights } from '../weights.js';
import { readActivation, readLayers, readTokenIds } from './common.js';
import type { Family, FamilyConfig } from './family.js';

/** GPT-2: learned positions, LayerNorm with bias, one product for q, k and v, tied embeddings. */
export const gpt2: Family = {
  name: 'gpt2',
  modelTypes: ['gpt2'],
  config,
  weights,
  ignores: /\.attn\.(masked_)?bias$/,
  modules: {
    prefixes: ['transformer.'],
    embed: 'wte',
    layers: 'h',
    ln1: 'ln_1',
    ln2: 'ln_2',
    attn: 'attn',
    o: 'c_proj',
    mlp: 'mlp',
    mlpIn: 'c_fc',
    mlpOut: 'c_proj',
    lnFinal: 'ln_f',
    heads: ['lm_head'],
  },
};

function config(text: JsonReader): FamilyConfig {
  const dModel = text.integer('n_embd', 768);
  const nHeads = text.integer('n_head', 12);
  const nLayers = readLayers(text, 'n_layer', 12);
  const dHead = dModel / nHeads;
  if (!Number.isInteger(dHead)) {
    throw text.wrong('n_head', `a divisor of n_embd (${dModel})`, nHeads);
  }
  const scale = text.boolean('scale_attn_weights', true) ? dHead ** -0.5 : 1;
  const byLayer = text.boolean('scale_attn_by_inverse_layer_idx', false);
  return {
    nLayers,
    dModel,
    nHeads,
    nKeyValueHeads: nHeads,
    dHead,
    dMlp: text.integer('n_inner', 4 * dModel),
    dVocab: text.integer('vocab_size', 50257),
    nCtx: text.integer('n_positions', 1024),
    norm: { kind: 'layer', eps: text.number('layer_norm_epsilon', 1e-5), weightOffset: 0 },
    postNorms: false,
    qkNorm: false,
    parallel: false,
    positions: 'learned',
    layers: Array.from({ length: nLayers }, (_, layer) => ({
      window: 0,
      attnScale: byLayer ? scale / (layer + 1) : scale,
    })),
    attnSoftcap: 0,
    finalSoftcap: 0,
    activation: readActivation(text, 'activation_function', 'gelu_new'),
    gated: false,
    embedScaled: false,
    tiedEmbeddings: text.boolean('tie_word_embeddings', true),
    defaultPrependBos: true,
    ...readTokenIds(text, { bos: 50256, eos: 50256 }),
  };
}

function weights(files: WeightFiles, cfg: ModelConfig): ModelWeights {
  const { dModel: d, dMlp: m } = cfg;
  const prefix = files.prefix(['transformer.', ''], 'wte.weight');
  const norm = (name: string): NormWeights => ({
    w: files.get(`${name}.weight`, [d]),
    b: files.get(`${name}.bias`, [d]),
  });
  // Conv1D stores [in, out]: nothing is transposed.
  const block = (layer: number): BlockWeights => {
    const at = `${prefix}h.${layer}.`;
    return {
      ln1: norm(`${at}ln_1`),
      ln2: norm(`${at}ln_2`),
      attn: {
        qkv: {
          layout: 'qkv,head',
          fused: {
            W: files.get(`${at}attn.c_attn.weight`, [d, 3 * d]),
            b: files.get(`${at}attn.c_attn.bias`, [3 * d]),
          },
        },
        W_O: files.get(`${at}attn.c_proj.weight`, [d, d]),
        b_O: files.get(`${at}attn.c_proj.bias`, [d]),
      },
      mlp: {
        W_in: files.get(`${at}mlp.c_fc.weight`, [d, m]),
        b_in: files.get(`${at}mlp.c_fc.bias`, [m]),
        W_out: files.get(`${at}mlp.c_proj.weight`, [m, d]),
        b_out: files.get(`${at}mlp.c_proj.bias`, [d]),
      },
    };
  };
  const W_E = files.get(`${prefix}wte.weight`, [cfg.dVocab, d]);
  const head = cfg.tiedEmbeddings ? W_E : files.get('lm_head.weight', [cfg.dVocab, d]);
  return {
    W_E,
    W_pos: files.get(`${prefix}wpe.weight`, [cfg.nCtx, d]),
    blocks: Array.from({ length: cfg.nLayers }, (_, layer) => block(layer)),
    lnFinal: norm(`${prefix}ln_f`),
    W_U: head.transpose(0, 1),
  };
}
