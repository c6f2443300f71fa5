import { MonosemError } from '../error.js';
import { field, type Json } from '../sae/config.js';
import {
  type Loader,
  type LoaderInput,
  mapped,
  numberIn,
  stored,
  storedAs,
  tryReadJsonFile,
  within,
} from './loader.js';

const NAMES: ReadonlyMap<string, string> = new Map([
  ['w_enc', 'W_enc'],
  ['w_dec', 'W_dec'],
  ['affine_skip_connection', 'W_skip'],
]);

const isCrossLayer = (folder: string) => folder.includes('clt');
const isTranscoder = (folder: string) => folder.includes('transcoder') || isCrossLayer(folder);

const weightsPath = ({ folder }: LoaderInput) =>
  isCrossLayer(folder) ? `${folder}.safetensors` : within(folder, 'params.safetensors');

/** Gemma Scope 2: one safetensors file per SAE, whose config.json may be missing. */
export const gemma3: Loader = {
  async config(input) {
    const { repoId, folder, files: _, overrides } = input;
    const published =
      (await tryReadJsonFile(input, within(folder, 'config.json'))) ?? inferred(repoId, folder);
    const architecture = field(published, 'architecture');
    if (architecture !== 'jump_relu') {
      throw new MonosemError(
        'ERR_UNSUPPORTED',
        `${folder}/config.json names the architecture ${JSON.stringify(architecture)}; Gemma Scope 2's is "jump_relu"`,
      );
    }
    const layer = layerOf(folder);
    const file = await input.open(weightsPath(input), 'safetensors');
    const [dIn, dSae] = stored(file, 'w_enc').shape;
    const hookIn = field(published, 'hf_hook_point_in');
    const skips = field(published, 'affine_connection') === true;
    return {
      architecture: !isTranscoder(folder)
        ? 'jumprelu'
        : skips
          ? 'jumprelu_skip_transcoder'
          : 'jumprelu_transcoder',
      d_in: dIn,
      d_sae: dSae,
      dtype: 'float32',
      model_name: modelName(String(field(published, 'model_name'))),
      hook_name: hookName(folder, layer),
      hook_head_index: null,
      finetuning_scaling_factor: false,
      sae_lens_training_version: null,
      prepend_bos: true,
      dataset_path: 'monology/pile-uncopyrighted',
      context_size: 1024,
      apply_b_dec_to_input: false,
      normalize_activations: 'none',
      reshape_activations: 'none',
      ...(hookIn === undefined ? {} : { hf_hook_name: hookIn }),
      ...(hookName(folder, layer).endsWith('hook_mlp_in') && {
        hook_name_out: `blocks.${layer}.hook_mlp_out`,
        hf_hook_name_out: field(published, 'hf_hook_point_out'),
      }),
      ...(isTranscoder(folder) && { d_out: stored(file, 'w_dec').shape.at(-1) }),
      device: 'cpu',
      ...overrides,
    };
  },

  async weights(input) {
    const file = await input.open(weightsPath(input), 'safetensors');
    const sources = storedAs(file, (name) => NAMES.get(name) ?? name);
    const { W_dec } = sources;
    if (W_dec?.shape.length === 3) {
      // A cross-layer transcoder writes to every later layer, [d_sae, layers, d_out]; taken together.
      const [dSae = 0, , dOut = 0] = W_dec.shape;
      sources.W_dec = mapped(W_dec, (tensor) => tensor.sum(1), [dSae, dOut]);
    }
    return sources;
  },
};

function layerOf(folder: string): number {
  return numberIn(folder, /layer_(\d+)/, 'layer number (layer_N)');
}

/** What config.json would say, from the names alone. */
function inferred(repoId: string, folder: string): Json {
  const layer = layerOf(folder);
  const at = (module: string) => `model.layers.${layer}.${module}`;
  const hooks = () => {
    if (isTranscoder(folder)) {
      return {
        hf_hook_point_in: at('pre_feedforward_layernorm.output'),
        hf_hook_point_out: at('post_feedforward_layernorm.output'),
      };
    }
    if (folder.includes('resid_post')) return { hf_hook_point_in: at('output') };
    if (folder.includes('attn_out')) return { hf_hook_point_in: at('self_attn.o_proj.input') };
    if (folder.includes('mlp_out')) {
      return { hf_hook_point_in: at('post_feedforward_layernorm.output') };
    }
    throw unknownHook(folder);
  };
  return {
    architecture: 'jump_relu',
    model_name: repoId.replace('google/', '').replace('gemma-scope-2', 'gemma-3'),
    affine_connection: folder.includes('affine'),
    ...hooks(),
  };
}

function hookName(folder: string, layer: number): string {
  if (folder.includes('resid_post')) return `blocks.${layer}.hook_resid_post`;
  if (folder.includes('attn_out')) return `blocks.${layer}.attn.hook_z`;
  if (folder.includes('mlp_out')) return `blocks.${layer}.hook_mlp_out`;
  if (isTranscoder(folder)) return `blocks.${layer}.hook_mlp_in`;
  throw unknownHook(folder);
}

function unknownHook(folder: string): MonosemError {
  return new MonosemError(
    'ERR_FORMAT',
    `${JSON.stringify(folder)} names no place in the model; the gemma_3 loader knows resid_post, attn_out, mlp_out, transcoder and clt`,
  );
}

/** As the model is called on the hub: the configurations have other spellings. */
function modelName(published: string): string {
  const name = published.replace('-v3', '-3');
  const full = name.startsWith('google/') ? name : `google/${name}`;
  return full.includes('270m') ? full.replace('-pt', '') : full;
}
