import { MonosemError } from '../error.js';
import { type Loader, stored } from './loader.js';

interface Published {
  readonly dIn: number;
  readonly model: string;
  readonly layer: number;
}

/** Goodfire's two SAEs, by repository and file. */
const PUBLISHED: ReadonlyMap<string, Published> = new Map([
  [
    'Goodfire/Llama-3.3-70B-Instruct-SAE-l50/Llama-3.3-70B-Instruct-SAE-l50.pt',
    { dIn: 8192, model: 'meta-llama/Llama-3.3-70B-Instruct', layer: 50 },
  ],
  [
    'Goodfire/Llama-3.1-8B-Instruct-SAE-l19/Llama-3.1-8B-Instruct-SAE-l19.pth',
    { dIn: 4096, model: 'meta-llama/Llama-3.1-8B-Instruct', layer: 19 },
  ],
]);

export const goodfire: Loader = {
  async config({ repoId, folder, overrides }) {
    const name = `${repoId}/${folder}`;
    const published = PUBLISHED.get(name);
    if (published === undefined) {
      throw new MonosemError(
        'ERR_UNSUPPORTED',
        `${name} is no SAE of Goodfire's that is known; known are ${[...PUBLISHED.keys()].join(' and ')}`,
      );
    }
    return {
      architecture: 'standard',
      d_in: published.dIn,
      d_sae: 65536,
      model_name: published.model,
      hook_name: `blocks.${published.layer}.hook_resid_post`,
      hook_head_index: null,
      dataset_path: 'lmsys/lmsys-chat-1m',
      apply_b_dec_to_input: false,
      device: 'cpu',
      ...overrides,
    };
  },

  async weights(input) {
    const file = await input.open(input.folder, 'torch');
    return {
      W_enc: stored(file, 'encoder_linear.weight', { transposed: true }),
      W_dec: stored(file, 'decoder_linear.weight', { transposed: true }),
      b_enc: stored(file, 'encoder_linear.bias'),
      b_dec: stored(file, 'decoder_linear.bias'),
    };
  },
};
