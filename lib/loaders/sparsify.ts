import { MonosemError } from '../error.js';
import { field } from '../sae/config.js';
import {
  filled,
  firstOf,
  type Loader,
  numberAt,
  readJsonFile,
  stored,
  tryReadJsonFile,
  type WeightSource,
  within,
} from './loader.js';
import type { WeightsFile } from './weights_file.js';

/** EleutherAI's sparsify: a folder per hook point, the run's config.json beside the folders. */
export const sparsify: Loader = {
  async config(input) {
    const { folder, repoId, overrides } = input;
    const path = within(folder, 'cfg.json');
    const json = await readJsonFile(input, path);
    const run = await tryReadJsonFile(input, within(parent(folder), 'config.json'));
    const ofRun = (key: string) => run && field(run, key);
    const dIn = numberAt(json, path, 'd_in');
    const { hookName, layer } = hookOf(folder);
    return {
      architecture: 'standard',
      d_in: dIn,
      d_sae: field(json, 'num_latents') || dIn * numberAt(json, path, 'expansion_factor'),
      dtype: 'bfloat16',
      device: 'cpu',
      model_name: ofRun('model') ?? repoId,
      hook_name: hookName,
      hook_layer: layer,
      hook_head_index: null,
      activation_fn_str: 'topk',
      activation_fn_kwargs: {
        k: numberAt(json, path, 'k'),
        signed: field(json, 'signed') ?? false,
      },
      apply_b_dec_to_input: !field(json, 'normalize_decoder'),
      dataset_path: ofRun('dataset') ?? 'togethercomputer/RedPajama-Data-1T-Sample',
      context_size: ofRun('ctx_len') ?? 2048,
      finetuning_scaling_factor: false,
      sae_lens_training_version: null,
      prepend_bos: true,
      dataset_trust_remote_code: true,
      normalize_activations: 'none',
      neuronpedia_id: null,
      ...overrides,
    };
  },

  async weights(input) {
    const file = await input.open(within(input.folder, 'sae.safetensors'), 'safetensors');
    // W_dec is written as [num_latents, d_in], SAELens' orientation: its loader transposes it all the same
    // and then refuses the shape, or takes a square one the wrong way round.
    const W_enc = matrix(file, 'W_enc', 'encoder.weight');
    const W_dec = matrix(file, 'W_dec', 'decoder.weight');
    const [dSae = 0, dIn = 0] = W_dec.shape;
    return {
      W_enc,
      W_dec,
      b_enc: bias(file, ['b_enc', 'encoder.bias'], dSae),
      b_dec: bias(file, ['b_dec', 'decoder.bias'], dIn),
    };
  },
};

const parent = (folder: string) => folder.split('/').slice(0, -1).join('/');

function matrix(file: WeightsFile, name: string, linear: string): WeightSource {
  return file.tensors.has(name) ? stored(file, name) : stored(file, linear, { transposed: true });
}

function bias(file: WeightsFile, names: readonly string[], length: number): WeightSource {
  const name = firstOf(file, names);
  return name === undefined ? filled(0, length) : stored(file, name);
}

function hookOf(folder: string): { hookName: string; layer: number } {
  const name = folder.split('/').at(-1) as string;
  if (name === 'embed_tokens') return { hookName: 'hook_embed', layer: 0 };
  const layer = /layers[._](\d+)/.exec(name)?.[1];
  if (layer !== undefined) {
    return { hookName: `blocks.${Number(layer)}.hook_resid_post`, layer: Number(layer) };
  }
  throw new MonosemError(
    'ERR_FORMAT',
    `${JSON.stringify(folder)} is not named like sparsify's folders, layers.N or embed_tokens`,
  );
}
