import { MonosemError } from '../error.js';
import {
  type Loader,
  type LoaderInput,
  nested,
  numberAt,
  numberIn,
  readYamlFile,
  storedAs,
  tryReadYamlFile,
} from './loader.js';

/** Michael Hanna's transcoders of Qwen 3: layer_N.safetensors beside what wandb noted of the run. */
export const mwhannaTranscoder: Loader = {
  async config(input) {
    // Some repositories spell it without the d.
    const run =
      (await tryReadYamlFile(input, 'wandb-config.yaml')) ??
      (await readYamlFile(input, 'wanb-config.yaml'));
    const value = (key: string) => numberAt(run, 'wandb-config.yaml', key, 'value');
    const layer = numberIn(
      input.folder,
      /layer_(\d+)\.safetensors/,
      'layer number (layer_N.safetensors)',
    );
    return {
      architecture: 'transcoder',
      d_in: value('d_model'),
      d_out: value('d_model'),
      d_sae: value('d_feature'),
      dtype: 'float32',
      device: 'cpu',
      activation_fn: 'relu',
      normalize_activations: 'none',
      model_name: await modelName(input),
      hook_name: `blocks.${layer}.mlp.hook_in`,
      hook_name_out: `blocks.${layer}.hook_mlp_out`,
      dataset_path: 'monology/pile-uncopyrighted',
      context_size: value('batch_size'),
      apply_b_dec_to_input: false,
      model_from_pretrained_kwargs: { fold_ln: false },
      ...input.overrides,
    };
  },

  async weights(input) {
    const file = await input.open(input.folder, 'safetensors');
    return storedAs(
      file,
      (name) => name,
      (parameter) => parameter === 'W_enc',
    );
  },
};

async function modelName(input: LoaderInput): Promise<string> {
  const config = await tryReadYamlFile(input, 'config.yaml');
  const name = config && nested(config, 'model_name');
  if (typeof name === 'string') return name;
  const size = /qwen3-(\d+(?:\.\d+)?)b/i.exec(input.repoId)?.[1];
  if (size !== undefined) return `Qwen/Qwen3-${size}B`;
  throw new MonosemError(
    'ERR_FORMAT',
    `neither config.yaml nor the repository's name (${input.repoId}: qwen3-SIZEb) says which model this transcoder is of`,
  );
}
