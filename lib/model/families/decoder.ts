/**
 * What the families in Llama's layout share (Llama, Mistral, Qwen, Gemma): the keys of config.json,
 * the names of weights and of modules. Each family's file says what it does differently.
 */
import type { LayerConfig, ModelConfig } from '../config.js';
import type { JsonReader } from '../json_reader.js';
import { type RotaryConfig, readRotary } from '../rotary.js';
import type { WeightFiles } from '../weight_files.js';
import type {
  AttentionWeights,
  BlockWeights,
  ExpertsWeights,
  MlpWeights,
  ModelWeights,
  NormWeights,
  Projection,
} from '../weights.js';
import { readActivation, readLayers, readTokenIds } from './common.js';
import type { FamilyConfig, ModuleNames } from './family.js';

/** Class defaults of transformers for the keys that files omit. */
export interface DecoderDefaults {
  readonly dModel: number;
  readonly dMlp: number;
  readonly nLayers: number;
  readonly nHeads: number;
  /** Absent: as many as heads. */
  readonly nKeyValueHeads?: number;
  /** Absent: d_model / n_heads. */
  readonly dHead?: number;
  readonly dVocab: number;
  readonly nCtx: number;
  readonly theta: number;
  readonly tied: boolean;
  readonly tokens?: { bos?: number; eos?: number; pad?: number };
}

/** A configuration in Llama's terms: RMSNorm, silu-gated MLP, full rotation, no windows. */
export function decoderConfig(text: JsonReader, defaults: DecoderDefaults): FamilyConfig {
  const dModel = text.integer('hidden_size', defaults.dModel);
  const nHeads = text.integer('num_attention_heads', defaults.nHeads);
  const nKeyValueHeads = text.integer('num_key_value_heads', defaults.nKeyValueHeads ?? nHeads);
  const dHead = text.integer('head_dim', defaults.dHead ?? dModel / nHeads);
  const nLayers = readLayers(text, 'num_hidden_layers', defaults.nLayers);
  if (nHeads % nKeyValueHeads !== 0) {
    throw text.wrong('num_key_value_heads', `a divisor of ${nHeads} heads`, nKeyValueHeads);
  }
  const layer: LayerConfig = {
    window: 0,
    attnScale: dHead ** -0.5,
    rotary: rotaryOf(text, defaults.theta, dHead),
  };
  return {
    nLayers,
    dModel,
    nHeads,
    nKeyValueHeads,
    dHead,
    dMlp: text.integer('intermediate_size', defaults.dMlp),
    dVocab: text.integer('vocab_size', defaults.dVocab),
    nCtx: text.integer('max_position_embeddings', defaults.nCtx),
    norm: { kind: 'rms', eps: text.number('rms_norm_eps', 1e-6), weightOffset: 0 },
    postNorms: false,
    qkNorm: false,
    parallel: false,
    positions: 'rotary',
    layers: Array.from({ length: nLayers }, () => layer),
    attnSoftcap: 0,
    finalSoftcap: 0,
    activation: readActivation(text, 'hidden_act', 'silu'),
    gated: true,
    embedScaled: false,
    tiedEmbeddings: text.boolean('tie_word_embeddings', defaults.tied),
    defaultPrependBos: true,
    ...readTokenIds(text, defaults.tokens),
  };
}

/** The one rotation of a model, from `rope_parameters` or from `rope_scaling` beside `rope_theta`. */
export function rotaryOf(text: JsonReader, theta: number, dim: number): RotaryConfig {
  const parameters = text.object('rope_parameters') ?? text.object('rope_scaling');
  return readRotary(parameters, text.number('rope_theta', theta), dim);
}

/** Which layers see a window only: `layer_types` when the file lists them, else the family's rule. */
export function slidingLayers(
  text: JsonReader,
  nLayers: number,
  rule: (layer: number) => boolean,
): readonly boolean[] {
  const types = text.strings('layer_types');
  if (types === undefined) return Array.from({ length: nLayers }, (_, layer) => rule(layer));
  const known = types.every((type) => type === 'sliding_attention' || type === 'full_attention');
  if (types.length !== nLayers || !known) {
    throw text.wrong(
      'layer_types',
      `${nLayers} times 'sliding_attention' or 'full_attention'`,
      types,
    );
  }
  return types.map((type) => type === 'sliding_attention');
}

export interface DecoderLayout {
  /** In front of "layers.0...."; every spelling seen, the usual one first. */
  readonly prefixes: readonly string[];
  /** q, k and v must have biases (Qwen 2). Elsewhere a bias counts when the file has one. */
  readonly qkvBias?: boolean;
}

export function decoderWeights(
  files: WeightFiles,
  cfg: ModelConfig,
  layout: DecoderLayout,
): ModelWeights {
  const prefix = files.prefix(layout.prefixes, 'embed_tokens.weight');
  const W_E = files.get(`${prefix}embed_tokens.weight`, [cfg.dVocab, cfg.dModel]);
  const head = cfg.tiedEmbeddings ? W_E : untiedHead(files, cfg);
  return {
    W_E,
    blocks: Array.from({ length: cfg.nLayers }, (_, layer) =>
      blockWeights(files, cfg, layout, `${prefix}layers.${layer}.`),
    ),
    lnFinal: norm(files, `${prefix}norm`, cfg.dModel),
    W_U: head.transpose(0, 1),
  };
}

function untiedHead(files: WeightFiles, cfg: ModelConfig) {
  const prefix = files.prefix(['', 'language_model.'], 'lm_head.weight');
  return files.get(`${prefix}lm_head.weight`, [cfg.dVocab, cfg.dModel]);
}

/** A Hugging Face Linear [out, in] as [in, out], a view. */
function projection(
  files: WeightFiles,
  name: string,
  dIn: number,
  dOut: number,
  mustHaveBias = false,
): Projection {
  const W = files.get(`${name}.weight`, [dOut, dIn]).transpose(0, 1);
  const bias = `${name}.bias`;
  return mustHaveBias || files.has(bias) ? { W, b: files.get(bias, [dOut]) } : { W };
}

function norm(files: WeightFiles, name: string, d: number): NormWeights {
  return { w: files.get(`${name}.weight`, [d]) };
}

function blockWeights(
  files: WeightFiles,
  cfg: ModelConfig,
  layout: DecoderLayout,
  at: string,
): BlockWeights {
  const d = cfg.dModel;
  const attn = attentionWeights(files, cfg, layout, `${at}self_attn.`);
  const mlp =
    cfg.experts === undefined
      ? gatedMlp(files, cfg, `${at}mlp.`)
      : expertsWeights(files, cfg, cfg.experts.count, `${at}mlp.`);
  const ln1 = norm(files, `${at}input_layernorm`, d);
  // The same name stands for ln2 in Llama and for ln1_post in Gemma 2 and 3.
  const afterAttention = norm(files, `${at}post_attention_layernorm`, d);
  if (!cfg.postNorms) return { ln1, ln2: afterAttention, attn, mlp };
  return {
    ln1,
    ln1Post: afterAttention,
    ln2: norm(files, `${at}pre_feedforward_layernorm`, d),
    ln2Post: norm(files, `${at}post_feedforward_layernorm`, d),
    attn,
    mlp,
  };
}

function attentionWeights(
  files: WeightFiles,
  cfg: ModelConfig,
  layout: DecoderLayout,
  at: string,
): AttentionWeights {
  const { dModel: d, dHead, nHeads, nKeyValueHeads } = cfg;
  const read = (name: string, heads: number) =>
    projection(files, `${at}${name}_proj`, d, heads * dHead, layout.qkvBias);
  const o = projection(files, `${at}o_proj`, nHeads * dHead, d);
  return {
    qkv: {
      layout: 'separate',
      q: read('q', nHeads),
      k: read('k', nKeyValueHeads),
      v: read('v', nKeyValueHeads),
    },
    W_O: o.W,
    ...(o.b && { b_O: o.b }),
    ...(cfg.qkNorm && {
      qNorm: norm(files, `${at}q_norm`, dHead),
      kNorm: norm(files, `${at}k_norm`, dHead),
    }),
  };
}

function gatedMlp(files: WeightFiles, cfg: ModelConfig, at: string): MlpWeights {
  const { dModel: d, dMlp: m } = cfg;
  const gate = projection(files, `${at}gate_proj`, d, m);
  const up = projection(files, `${at}up_proj`, d, m);
  const down = projection(files, `${at}down_proj`, m, d);
  return {
    W_gate: gate.W,
    ...(gate.b && { b_gate: gate.b }),
    W_in: up.W,
    ...(up.b && { b_in: up.b }),
    W_out: down.W,
    ...(down.b && { b_out: down.b }),
  };
}

function expertsWeights(
  files: WeightFiles,
  cfg: ModelConfig,
  count: number,
  at: string,
): ExpertsWeights {
  return {
    router: projection(files, `${at}gate`, cfg.dModel, count).W,
    experts: Array.from({ length: count }, (_, e) => gatedMlp(files, cfg, `${at}experts.${e}.`)),
  };
}

/** Frequencies that old checkpoints store, and what multimodal ones hold beside the text model. */
export const decoderIgnores =
  /rotary_emb\.inv_freq$|(^|\.)(vision_tower|vision_model|multi_modal_projector)\./;

/** Modules as transformers names them in this layout. */
export const decoderModules: ModuleNames = {
  prefixes: ['model.'],
  embed: 'embed_tokens',
  layers: 'layers',
  ln1: 'input_layernorm',
  ln2: 'post_attention_layernorm',
  attn: 'self_attn',
  q: 'q_proj',
  k: 'k_proj',
  v: 'v_proj',
  o: 'o_proj',
  mlp: 'mlp',
  mlpIn: 'up_proj',
  mlpGate: 'gate_proj',
  mlpOut: 'down_proj',
  lnFinal: 'norm',
  heads: ['lm_head'],
};
