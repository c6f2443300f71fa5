import { MonosemError } from '../error.js';
import { field, type Json } from '../sae/config.js';
import { Tensor } from '../tensor.js';
import {
  firstOf,
  type Loader,
  mapped,
  nested,
  numberAt,
  readJsonFile,
  stored,
  stringAt,
  type WeightSource,
  within,
} from './loader.js';
import type { WeightsFile } from './weights_file.js';

/** Parameters that every class spells in its own way, none of them transposed. */
const VECTORS: Readonly<Record<string, readonly string[]>> = {
  b_dec: ['b_dec', 'bias', 'decoder_bias'],
  b_enc: ['encoder.bias', 'b_enc'],
  b_mag: ['mag_bias'],
  b_gate: ['gate_bias'],
  r_mag: ['r_mag'],
};

/** The dictionary_learning library (saprmarks): config.json and ae.pt, one class per architecture. */
export const dictionaryLearning1: Loader = {
  async config(input) {
    const path = within(input.folder, 'config.json');
    const json = await readJsonFile(input, path);
    const dictClass = stringAt(json, path, 'trainer', 'dict_class');
    const isTopK = dictClass === 'AutoEncoderTopK';
    return {
      architecture: architectureOf(dictClass),
      d_in: numberAt(json, path, 'trainer', 'activation_dim'),
      d_sae: numberAt(json, path, 'trainer', 'dict_size'),
      dtype: 'float32',
      device: 'cpu',
      model_name: stringAt(json, path, 'trainer', 'lm_name').split('/').at(-1),
      hook_name: `blocks.${numberAt(json, path, 'trainer', 'layer')}.hook_resid_post`,
      hook_head_index: null,
      activation_fn: isTopK ? 'topk' : 'relu',
      activation_fn_kwargs: isTopK ? { k: numberAt(json, path, 'trainer', 'k') } : {},
      apply_b_dec_to_input: true,
      finetuning_scaling_factor: false,
      sae_lens_training_version: null,
      prepend_bos: true,
      dataset_path: 'monology/pile-uncopyrighted',
      context_size: nested(json, 'buffer', 'ctx_len') ?? 128,
      normalize_activations: 'none',
      neuronpedia_id: null,
      dataset_trust_remote_code: true,
      ...input.overrides,
    };
  },

  async weights(input, cfg) {
    const file = await input.open(within(input.folder, 'ae.pt'), 'torch');
    const sources: Record<string, WeightSource> = {
      W_enc: matrix(file, 'W_enc', 'encoder.weight'),
      W_dec: matrix(file, 'W_dec', 'decoder.weight'),
    };
    for (const [parameter, spellings] of Object.entries(VECTORS)) {
      const name = firstOf(file, spellings);
      if (name !== undefined) sources[parameter] = stored(file, name);
    }
    if (file.tensors.has('threshold')) sources.threshold = threshold(file, cfg);
    return sources;
  },
};

function architectureOf(dictClass: string): string {
  if (dictClass === 'GatedAutoEncoder') return 'gated';
  const isBatchTopK = dictClass === 'MatryoshkaBatchTopKSAE' || dictClass === 'BatchTopKSAE';
  return isBatchTopK ? 'jumprelu' : 'standard';
}

/** Newer classes have SAELens' orientation, older ones that of torch.nn.Linear. */
function matrix(file: WeightsFile, name: string, linear: string): WeightSource {
  return file.tensors.has(name) ? stored(file, name) : stored(file, linear, { transposed: true });
}

/** Batch top-k has one threshold for all features. */
function threshold(file: WeightsFile, cfg: Json): WeightSource {
  const source = stored(file, 'threshold');
  if (source.shape.length > 0) return source;
  const dSae = Number(field(cfg, 'd_sae'));
  if (!Number.isSafeInteger(dSae) || dSae <= 0) {
    throw new MonosemError('ERR_FORMAT', `d_sae must be a positive integer, got ${dSae}`);
  }
  return mapped(
    source,
    async (scalar) =>
      Tensor.ones([dSae], { dtype: scalar.dtype as 'float32', device: scalar.device }).fill(
        await scalar.item(),
      ),
    [dSae],
  );
}
