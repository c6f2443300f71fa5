import { MonosemError } from '../error.js';
import { GEMMA_2_MODELS } from './gemma_2.js';
import { type Loader, storedAs, within } from './loader.js';

/** Widths that are not so many times 1024. */
const WIDTHS: ReadonlyMap<string, number> = new Map([
  ['65k', 65536],
  ['262k', 262144],
  ['524k', 524288],
  ['1m', 1048576],
]);

/** The spellings under which the arrays occur, in lower case. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['w_enc', 'W_enc'],
  ['wenc', 'W_enc'],
  ['w_e', 'W_enc'],
  ['w_dec', 'W_dec'],
  ['wdec', 'W_dec'],
  ['w_d', 'W_dec'],
  ['b_enc', 'b_enc'],
  ['benc', 'b_enc'],
  ['b_e', 'b_enc'],
  ['b_dec', 'b_dec'],
  ['bdec', 'b_dec'],
  ['b_d', 'b_dec'],
  ['threshold', 'threshold'],
  ['thresholds', 'threshold'],
]);

/** Gemma Scope's transcoders: as its SAEs, from the normalised MLP input to the MLP output. */
export const gemma2Transcoder: Loader = {
  async config({ repoId, folder, overrides }) {
    const layer = /layer_(\d+)/.exec(folder)?.[1] ?? /layer_(\d+)/.exec(repoId)?.[1];
    const model = GEMMA_2_MODELS.find(([part]) => repoId.includes(part));
    const width = /width_(\d+[km])/.exec(folder)?.[1];
    if (layer === undefined) throw unknown(folder, 'the layer (layer_N)');
    if (width === undefined) throw unknown(folder, 'the width (width_Nk)');
    if (model === undefined) throw unknown(repoId, 'the model (2b, 9b, 27b)');
    const [, modelName, dModel] = model;
    return {
      architecture: 'jumprelu_transcoder',
      d_in: dModel,
      d_out: dModel,
      d_sae: WIDTHS.get(width) ?? Number.parseInt(width, 10) * 1024,
      dtype: 'float32',
      device: 'cpu',
      activation_fn: 'relu',
      normalize_activations: 'none',
      model_name: modelName,
      hook_name: `blocks.${Number(layer)}.ln2.hook_normalized`,
      hook_name_out: `blocks.${Number(layer)}.hook_mlp_out`,
      hook_head_index: null,
      hook_head_index_out: null,
      prepend_bos: true,
      dataset_path: 'monology/pile-uncopyrighted',
      context_size: 1024,
      apply_b_dec_to_input: false,
      ...overrides,
    };
  },

  async weights(input) {
    const file = await input.open(within(input.folder, 'params.npz'), 'npz');
    return storedAs(file, (name) => NAMES.get(name.toLowerCase()));
  },
};

function unknown(name: string, what: string): MonosemError {
  return new MonosemError(
    'ERR_FORMAT',
    `${JSON.stringify(name)} does not name ${what}, as the gemma_2_transcoder loader needs`,
  );
}
