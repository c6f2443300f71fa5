import { field } from '../sae/config.js';
import { Tensor } from '../tensor.js';
import {
  filled,
  type Loader,
  numberAt,
  readJsonFile,
  stored,
  stringAt,
  type WeightSource,
  within,
} from './loader.js';
import type { WeightsFile } from './weights_file.js';

/** What the two configurations have in common. */
const LLAMA = {
  model_name: 'meta-llama/Llama-3.1-8B',
  hook_head_index: null,
  activation_fn: 'relu',
  finetuning_scaling_factor: false,
  sae_lens_training_version: null,
  prepend_bos: true,
  dataset_path: 'cerebras/SlimPajama-627B',
  context_size: 1024,
  dataset_trust_remote_code: true,
  apply_b_dec_to_input: false,
  normalize_activations: 'expected_average_only_in',
  device: 'cpu',
};

/** OpenMOSS' layers, PyTorch's way round: encoder [d_sae, d_in], decoder [d_in, d_sae]. */
function linearLayers(file: WeightsFile): Record<string, WeightSource> {
  return {
    W_enc: stored(file, 'encoder.weight', { transposed: true }),
    W_dec: stored(file, 'decoder.weight', { transposed: true }),
    b_enc: stored(file, 'encoder.bias'),
    b_dec: stored(file, 'decoder.bias'),
  };
}

/** e to the power of a vector, computed in float64 and rounded once. */
function exponential(source: WeightSource): WeightSource {
  return {
    shape: source.shape,
    dtype: source.dtype,
    async load(dtype, device) {
      const logarithms = await source.load('float32', 'cpu');
      const values = ((await logarithms.data()) as Float32Array).map(Math.exp);
      logarithms.dispose();
      return Tensor.from(values, source.shape, { device }).to({ dtype });
    },
  };
}

/**
 * Llama Scope (He et al. 2024, arXiv 2410.20526). The published threshold is for inputs of norm
 * sqrt(d_model); SAELens scales it by the norm the inputs really have, and the registry's
 * norm_scaling_factor, another number for the same, is folded into the weights afterwards.
 */
export const llamaScope: Loader = {
  async config(input) {
    const path = within(input.folder, 'hyperparams.json');
    const json = await readJsonFile(input, path);
    const dModel = numberAt(json, path, 'd_model');
    const norm = numberAt(json, path, 'dataset_average_activation_norm', 'in');
    return {
      ...LLAMA,
      architecture: 'jumprelu',
      jump_relu_threshold: (numberAt(json, path, 'jump_relu_threshold') * Math.sqrt(dModel)) / norm,
      d_in: dModel,
      d_sae: numberAt(json, path, 'd_sae'),
      dtype: 'bfloat16',
      hook_name: stringAt(json, path, 'hook_point_in'),
      ...input.overrides,
    };
  },

  async weights(input, cfg) {
    const path = within(input.folder, 'checkpoints/final.safetensors');
    const sources = linearLayers(await input.open(path, 'safetensors'));
    const [dSae = 0] = sources.b_enc?.shape ?? [];
    return { ...sources, threshold: filled(Number(field(cfg, 'jump_relu_threshold')), dSae) };
  },
};

/** The SAEs of DeepSeek-R1-Distill-Llama-8B in the same form, each feature with its own threshold. */
export const llamaScopeR1Distill: Loader = {
  async config(input) {
    const path = within(input.folder, 'config.json');
    const json = await readJsonFile(input, path);
    const dModel = numberAt(json, path, 'd_model');
    return {
      ...LLAMA,
      architecture: 'jumprelu',
      d_in: dModel,
      d_sae: dModel * numberAt(json, path, 'expansion_factor'),
      dtype: 'float32',
      hook_name: stringAt(json, path, 'hook_point_in'),
      ...input.overrides,
    };
  },

  async weights(input) {
    const path = within(input.folder, 'sae_weights.safetensors');
    const file = await input.open(path, 'safetensors');
    return {
      ...linearLayers(file),
      threshold: exponential(stored(file, 'log_jumprelu_threshold')),
    };
  },
};
