import {
  type Loader,
  nested,
  numberAt,
  numberIn,
  readYamlFile,
  storedAs,
  stringAt,
  within,
} from './loader.js';

const NAMES: ReadonlyMap<string, string> = new Map([
  ['D', 'W_dec'],
  ['E', 'W_enc'],
  ['b', 'b_dec'],
]);

/** Temporal SAEs (Lubana et al. 2025, arXiv 2511.01836): conf.yaml and the latest checkpoint. */
export const temporal: Loader = {
  async config(input) {
    const path = within(input.folder, 'conf.yaml');
    const yaml = await readYamlFile(input, path);
    const dIn = numberAt(yaml, path, 'llm', 'dimin');
    const sae = (key: string) => nested(yaml, 'sae', key);
    return {
      architecture: 'temporal',
      hook_name: `blocks.${numberIn(input.folder, /layer_(\d+)/, 'layer number (layer_N)')}.hook_resid_post`,
      d_in: dIn,
      d_sae: Math.trunc(dIn * numberAt(yaml, path, 'sae', 'exp_factor')),
      n_heads: sae('n_heads'),
      n_attn_layers: sae('n_attn_layers'),
      bottleneck_factor: sae('bottleneck_factor'),
      sae_diff_type: sae('sae_diff_type'),
      kval_topk: sae('kval_topk'),
      tied_weights: sae('tied_weights'),
      dtype: stringAt(yaml, path, 'data', 'dtype'),
      device: 'cpu',
      normalize_activations: 'constant_scalar_rescale',
      activation_normalization_factor: sae('scaling_factor'),
      apply_b_dec_to_input: true,
      ...input.overrides,
    };
  },

  async weights(input) {
    const path = within(input.folder, 'latest_ckpt.safetensors');
    const file = await input.open(path, 'safetensors');
    return storedAs(
      file,
      (name) => NAMES.get(name) ?? (name.startsWith('attn_layers.') ? name : undefined),
    );
  },
};
