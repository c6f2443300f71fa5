/**
 * The hub the documentation's programs load from: on loopback, every repository they name, in the form
 * and under the paths of the published one. Models and Gemma Scopes are small ones of random weights with
 * the layers the documents speak of; their tokenizer is the demo's.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixture, readJson } from '../support/golden.js';
import { startTestHub, type TestHub } from '../support/test_hub.js';
import {
  filled,
  npz,
  randomWeights,
  safetensors,
  type Weight,
  type WeightTable,
} from '../support/weight_files.js';
import { root } from './programs.js';

type Files = Record<string, string | Uint8Array>;

const demo = join(root, 'assets', 'demo');
/** The tables in sizes.mjs name the same width and number of features. */
const D_MODEL = 64;
const D_SAE = 5120;

export async function startDocsHub(): Promise<TestHub> {
  const hub = await startTestHub();
  hub.push('google/gemma-2-2b', gemma2());
  hub.push('google/gemma-3-4b-it', gemma3());
  hub.push('google/gemma-scope-2b-pt-res', {
    'layer_12/width_16k/average_l0_82/params.npz': npz(gemmaScope('W_enc', 'W_dec')),
  });
  hub.push('google/gemma-scope-2-4b-it', gemmaScope2());
  const gpt2 = 'sae_lens_v5_registry_overrides/repo/jbloom/GPT2-Small-SAEs-Reformatted';
  hub.push('jbloom/GPT2-Small-SAEs-Reformatted', loaderFixture(gpt2, 'blocks.8.hook_resid_pre'));
  const sparsify = 'sparsify_decoder_weight/repo/EleutherAI/sae-pythia-70m-32k';
  hub.push('EleutherAI/sae-pythia-70m-32k', loaderFixture(sparsify, 'layers.2'));
  hub.push(
    'your-username/your-sae-repo',
    filesOf(join(demo, 'saes', 'blocks.2.hook_resid_post'), 'path/to/sae'),
  );
  return hub;
}

function filesOf(folder: string, under: string): Files {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [`${under}/${name}`, readFileSync(join(folder, name))]),
  );
}

/** The one SAE of a loader's fixture, under the folder the documents name. */
function loaderFixture(repo: string, under: string): Files {
  const folder = fixture(`loaders/${repo}`);
  return filesOf(join(folder, readdirSync(folder)[0] as string), under);
}

function tokenizer(): Files {
  const names = ['tokenizer.json', 'tokenizer_config.json'];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(demo, 'model', name))]));
}

interface GemmaConfig extends Record<string, unknown> {
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly intermediate_size: number;
}

/** The test models' configuration, deeper and with the demo's vocabulary. */
function textConfig(family: string, layers: number): GemmaConfig {
  const { layer_types: _, ...config } = readJson<GemmaConfig>(
    fixture(`models/${family}/config.json`),
  );
  const changed = { hidden_size: D_MODEL, num_hidden_layers: layers, vocab_size: 4096 };
  return { ...config, ...changed, max_position_embeddings: 1024, sliding_window: 512 };
}

function gemmaWeights(config: GemmaConfig, layers: number, prefix: string): WeightTable {
  const random = randomWeights(2);
  const weights: Record<string, Weight> = {
    [`${prefix}embed_tokens.weight`]: random(0.1, 4096, D_MODEL),
    [`${prefix}norm.weight`]: random(0.1, D_MODEL),
  };
  const heads = config.num_attention_heads * config.head_dim;
  const keys = config.num_key_value_heads * config.head_dim;
  const mlp = config.intermediate_size;
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, weight: Weight) => {
      weights[`${prefix}layers.${layer}.${name}.weight`] = weight;
    };
    add('input_layernorm', random(0.1, D_MODEL));
    add('post_attention_layernorm', random(0.1, D_MODEL));
    add('pre_feedforward_layernorm', random(0.1, D_MODEL));
    add('post_feedforward_layernorm', random(0.1, D_MODEL));
    add('self_attn.q_proj', random(0.1, heads, D_MODEL));
    add('self_attn.k_proj', random(0.1, keys, D_MODEL));
    add('self_attn.v_proj', random(0.1, keys, D_MODEL));
    add('self_attn.o_proj', random(0.1, D_MODEL, heads));
    add('mlp.gate_proj', random(0.1, mlp, D_MODEL));
    add('mlp.up_proj', random(0.1, mlp, D_MODEL));
    add('mlp.down_proj', random(0.1, D_MODEL, mlp));
    if (config.model_type === 'gemma3_text') {
      add('self_attn.q_norm', random(0.1, config.head_dim));
      add('self_attn.k_norm', random(0.1, config.head_dim));
    }
  }
  return weights;
}

function gemma2(): Files {
  const config = textConfig('gemma2', 13);
  return {
    ...tokenizer(),
    'config.json': JSON.stringify(config),
    'model.safetensors': safetensors(gemmaWeights(config, 13, 'model.')),
  };
}

/** Multimodal and sharded, as the 4B checkpoints are. */
function gemma3(): Files {
  const text = textConfig('gemma3', 18);
  const weights = Object.entries(gemmaWeights(text, 18, 'language_model.model.'));
  const vision = filled(0, 8);
  weights.push(['vision_tower.vision_model.post_layernorm.weight', vision]);
  const half = weights.length >> 1;
  const shards = [weights.slice(0, half), weights.slice(half)].map(
    (part, i) => [`model-0000${i + 1}-of-00002.safetensors`, part] as const,
  );
  const weightMap = shards.flatMap(([file, part]) => part.map(([name]) => [name, file]));
  return {
    ...tokenizer(),
    'config.json': JSON.stringify({
      architectures: ['Gemma3ForConditionalGeneration'],
      model_type: 'gemma3',
      text_config: text,
      vision_config: { model_type: 'siglip_vision_model' },
    }),
    'model.safetensors.index.json': JSON.stringify({ weight_map: Object.fromEntries(weightMap) }),
    ...Object.fromEntries(
      shards.map(([file, part]) => [file, safetensors(Object.fromEntries(part))]),
    ),
  };
}

/** Random directions of norm 1, thresholds that some 1 % of them pass in the models above. */
function gemmaScope(encoder: string, decoder: string): WeightTable {
  const random = randomWeights(3);
  return {
    [encoder]: random(1 / Math.sqrt(D_MODEL), D_MODEL, D_SAE),
    [decoder]: random(1 / Math.sqrt(D_MODEL), D_SAE, D_MODEL),
    b_enc: random(0.1, D_SAE),
    b_dec: random(0.1, D_MODEL),
    threshold: filled(12, D_SAE),
  };
}

function gemmaScope2(): Files {
  const folder = 'resid_post/layer_17_width_16k_l0_medium';
  return {
    [`${folder}/params.safetensors`]: safetensors(gemmaScope('w_enc', 'w_dec')),
    [`${folder}/config.json`]: JSON.stringify({
      hf_hook_point_in: 'model.layers.17.output',
      hf_hook_point_out: 'model.layers.17.output',
      width: 16384,
      model_name: 'google/gemma-3-4b-it',
      architecture: 'jump_relu',
      l0: 60,
      affine_connection: false,
      type: 'sae',
    }),
  };
}
