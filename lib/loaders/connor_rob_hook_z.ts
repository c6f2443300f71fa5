import { type Loader, numberAt, readJsonFile, storedAs, stringAt } from './loader.js';

/** Kissane and Krzyzanowski's attention SAEs (arXiv 2406.17759): NAME.pt beside NAME_cfg.json. */
export const connorRobHookZ: Loader = {
  async config(input) {
    const path = `${input.folder.split('.pt')[0]}_cfg.json`;
    const json = await readJsonFile(input, path);
    return {
      architecture: 'standard',
      d_in: numberAt(json, path, 'act_size'),
      d_sae: numberAt(json, path, 'dict_size'),
      dtype: 'float32',
      device: 'cpu',
      model_name: 'gpt2-small',
      hook_name: stringAt(json, path, 'act_name'),
      hook_head_index: null,
      activation_fn: 'relu',
      apply_b_dec_to_input: true,
      finetuning_scaling_factor: false,
      sae_lens_training_version: null,
      prepend_bos: true,
      dataset_path: 'Skylion007/openwebtext',
      context_size: 128,
      normalize_activations: 'none',
      dataset_trust_remote_code: true,
      reshape_activations: 'hook_z',
      ...input.overrides,
    };
  },

  async weights(input) {
    return storedAs(await input.open(input.folder, 'torch'), (name) => name);
  },
};
