import { type Loader, numberIn, stored } from './loader.js';

/** qresearch's SAE of DeepSeek-R1-Distill-Llama-8B: one checkpoint, its layer in the file's name. */
export const deepseekR1: Loader = {
  async config({ folder, overrides }) {
    const layer = numberIn(folder.split('/').at(-1) as string, /l(\d+)/, 'layer number (lN)');
    return {
      architecture: 'standard',
      d_in: 4096,
      d_sae: 65536,
      dtype: 'bfloat16',
      context_size: 1024,
      model_name: 'deepseek-ai/DeepSeek-R1-Distill-Llama-8B',
      hook_name: `blocks.${layer}.hook_resid_post`,
      hook_head_index: null,
      prepend_bos: true,
      dataset_path: 'lmsys/lmsys-chat-1m',
      dataset_trust_remote_code: true,
      sae_lens_training_version: null,
      activation_fn: 'relu',
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
      W_enc: stored(file, 'encoder.weight', { transposed: true }),
      W_dec: stored(file, 'decoder.weight', { transposed: true }),
      b_enc: stored(file, 'encoder.bias'),
      b_dec: stored(file, 'decoder.bias'),
    };
  },
};
