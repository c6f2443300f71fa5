import { MonosemError } from '../error.js';
import { type Loader, numberIn, stored } from './loader.js';

const D_MODEL: ReadonlyMap<string, number> = new Map([
  ['Qwen3-1.7B-Base', 2048],
  ['Qwen3-8B-Base', 4096],
  ['Qwen3-30B-A3B-Base', 2048],
  ['Qwen3.5-2B-Base', 2048],
  ['Qwen3.5-9B-Base', 4096],
  ['Qwen3.5-27B', 5120],
  ['Qwen3.5-35B-A3B-Base', 2048],
]);

/** Qwen Scope: model, width and k in the repository's name, one checkpoint per layer. */
export const qwenScope: Loader = {
  async config({ repoId, folder, overrides }) {
    const layer = numberIn(folder, /layer(\d+)\.sae\.pt/, 'layer number (layerN.sae.pt)');
    const named = /SAE-Res-(.+)-W(\d+)K-L0_(\d+)/.exec(repoId);
    if (named === null) {
      throw new MonosemError(
        'ERR_FORMAT',
        `${JSON.stringify(repoId)} is not named like Qwen Scope's repositories, SAE-Res-MODEL-WnK-L0_k`,
      );
    }
    const [, model = '', width, k] = named;
    const dIn = D_MODEL.get(model);
    if (dIn === undefined) {
      throw new MonosemError(
        'ERR_UNSUPPORTED',
        `Qwen Scope's SAEs of ${model} are not known; known models: ${[...D_MODEL.keys()].join(', ')}`,
      );
    }
    return {
      architecture: 'topk',
      activation_fn: 'topk',
      activation_fn_kwargs: { k: Number(k) },
      d_in: dIn,
      d_sae: Number(width) * 1024,
      dtype: 'float32',
      context_size: 1024,
      model_name: `Qwen/${model}`,
      hook_name: `blocks.${layer}.hook_resid_post`,
      hf_hook_name: `model.layers.${layer}`,
      hook_head_index: null,
      prepend_bos: true,
      dataset_path: null,
      sae_lens_training_version: null,
      normalize_activations: 'none',
      device: 'cpu',
      apply_b_dec_to_input: false,
      finetuning_scaling_factor: false,
      ...overrides,
    };
  },

  async weights(input) {
    const file = await input.open(input.folder, 'torch');
    return {
      W_enc: stored(file, 'W_enc', { transposed: true }),
      W_dec: stored(file, 'W_dec', { transposed: true }),
      b_enc: stored(file, 'b_enc'),
      b_dec: stored(file, 'b_dec'),
    };
  },
};
