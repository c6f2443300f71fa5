import { MonosemError } from '../error.js';
import { field } from '../sae/config.js';
import { type Loader, type LoaderInput, mapped, storedAs, within } from './loader.js';
import { settleScalingFactor } from './scaling_factor.js';

/** Models by what the repository's name contains, the first that fits; what their attention SAEs take. */
export const GEMMA_2_MODELS: readonly (readonly [
  part: string,
  name: string,
  dModel: number,
  dHeads: number,
])[] = [
  ['2b-it', 'gemma-2-2b-it', 2304, 2304],
  ['9b-it', 'gemma-2-9b-it', 3584, 3584],
  ['27b-it', 'gemma-2-27b-it', 4608, 4608],
  ['2b', 'gemma-2-2b', 2304, 2048],
  ['9b', 'gemma-2-9b', 3584, 4096],
  ['27b', 'gemma-2-27b', 4608, 4608],
];

const WIDTHS: readonly (readonly [part: string, dSae: number])[] = [
  ['width_4k', 4096],
  ['width_16k', 16384],
  ['width_32k', 32768],
  ['width_65k', 65536],
  ['width_131k', 131072],
  ['width_262k', 262144],
  ['width_524k', 524288],
  ['width_1m', 1048576],
];

const weightsPath = ({ folder }: LoaderInput) => within(folder, 'params.npz');

/** Gemma Scope: one npz per SAE; everything else is in the names of repository and folder. */
export const gemma2: Loader = {
  async config({ repoId, folder, overrides }) {
    const isEmbedding = folder.includes('embedding');
    const layer = isEmbedding ? 0 : layerOf(folder);
    const model = GEMMA_2_MODELS.find(([part]) => repoId.includes(part));
    if (model === undefined) throw unknown(repoId, 'the model (2b, 9b, 27b)');
    const [, modelName, dModel, dHeads] = model;
    const { hookName, dIn } = hookOf(repoId, layer, isEmbedding, dModel, dHeads);
    return {
      architecture: 'jumprelu',
      d_in: dIn,
      d_sae: WIDTHS.find(([part]) => folder.includes(part))?.[1] ?? null,
      dtype: 'float32',
      model_name: modelName,
      hook_name: hookName,
      hook_head_index: null,
      activation_fn: 'relu',
      finetuning_scaling_factor: false,
      sae_lens_training_version: null,
      prepend_bos: true,
      dataset_path: 'monology/pile-uncopyrighted',
      context_size: 1024,
      dataset_trust_remote_code: true,
      apply_b_dec_to_input: false,
      normalize_activations: null,
      device: 'cpu',
      ...overrides,
    };
  },

  async weights(input, cfg) {
    const file = await input.open(weightsPath(input), 'npz');
    const sources = storedAs(file, (name) => name.replace(/^w_/, 'W_'));
    const settled = await settleScalingFactor(sources, field(cfg, 'finetuning_scaling_factor'));
    const { W_enc, W_dec } = settled;
    if (!input.folder.includes('embedding') || W_enc === undefined || W_dec === undefined) {
      return settled;
    }
    // Embedding SAEs were trained on embeddings as Gemma uses them, times sqrt(d_model); hook_embed has
    // them before that.
    const scale = Math.sqrt(Number(field(cfg, 'd_in')));
    return {
      ...settled,
      W_enc: mapped(W_enc, (tensor) => tensor.div(scale)),
      W_dec: mapped(W_dec, (tensor) => tensor.mul(scale)),
    };
  },
};

function layerOf(folder: string): number {
  const layer = /layer_(\d+)/.exec(folder)?.[1];
  if (layer === undefined) throw unknown(folder, 'the layer (layer_N)');
  return Number(layer);
}

function hookOf(
  repoId: string,
  layer: number,
  isEmbedding: boolean,
  dModel: number,
  dHeads: number,
): { hookName: string; dIn: number } {
  if (repoId.includes('res')) {
    const hookName = isEmbedding ? 'hook_embed' : `blocks.${layer}.hook_resid_post`;
    return { hookName, dIn: dModel };
  }
  if (repoId.includes('mlp')) return { hookName: `blocks.${layer}.hook_mlp_out`, dIn: dModel };
  if (repoId.includes('att')) return { hookName: `blocks.${layer}.attn.hook_z`, dIn: dHeads };
  throw unknown(repoId, 'the place in the model (res, mlp, att)');
}

function unknown(name: string, what: string): MonosemError {
  return new MonosemError(
    'ERR_FORMAT',
    `${JSON.stringify(name)} does not name ${what}, as the gemma_2 loader needs`,
  );
}
