import { type Loader, mapped, readYamlFile, stored, stringAt } from './loader.js';

/** One layer of a cross-layer transcoder (mntss): W_enc_N and W_dec_N, [d_sae, layers, d_out]. */
export const mntssCltLayerTranscoder: Loader = {
  caution:
    'This is one layer of a cross-layer transcoder, loaded as a transcoder by adding up its decoders for all layers: use it for feature activations, not for reconstruction.',

  async config(input) {
    const { folder: layer, overrides } = input;
    const json = await readYamlFile(input, 'config.yaml');
    const file = await input.open(`W_enc_${layer}.safetensors`, 'safetensors');
    const hook = (which: string) =>
      `blocks.${layer}.${stringAt(json, 'config.yaml', `feature_${which}_hook`)}`;
    return {
      architecture: 'transcoder',
      d_in: stored(file, `b_dec_${layer}`).shape[0],
      d_out: stored(file, `b_dec_${layer}`).shape[0],
      d_sae: stored(file, `b_enc_${layer}`).shape[0],
      dtype: 'float32',
      device: 'cpu',
      activation_fn: 'relu',
      normalize_activations: 'none',
      model_name: stringAt(json, 'config.yaml', 'model_name'),
      hook_name: hook('input'),
      hook_name_out: hook('output'),
      apply_b_dec_to_input: false,
      model_from_pretrained_kwargs: { fold_ln: false },
      ...overrides,
    };
  },

  async weights(input) {
    const { folder: layer } = input;
    const encoder = await input.open(`W_enc_${layer}.safetensors`, 'safetensors');
    const decoder = await input.open(`W_dec_${layer}.safetensors`, 'safetensors');
    const W_dec = stored(decoder, `W_dec_${layer}`);
    const [dSae = 0, , dOut = 0] = W_dec.shape;
    return {
      W_enc: stored(encoder, `W_enc_${layer}`, { transposed: true }),
      b_enc: stored(encoder, `b_enc_${layer}`),
      b_dec: stored(encoder, `b_dec_${layer}`),
      W_dec: mapped(W_dec, (tensor) => tensor.sum(1), [dSae, dOut]),
    };
  },
};
