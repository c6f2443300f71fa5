import { field } from '../sae/config.js';
import { type Loader, type LoaderInput, readJsonFile, stored, storedAs, within } from './loader.js';
import { settleScalingFactor } from './scaling_factor.js';

const weightsPath = ({ folder }: LoaderInput) => within(folder, 'sae_weights.safetensors');
const sparsityPath = ({ folder }: LoaderInput) => within(folder, 'sparsity.safetensors');

/** SAELens' own form, of any version: cfg.json and sae_weights.safetensors, names as they are. */
export const saeLens: Loader = {
  raw: (input) => readJsonFile(input, within(input.folder, 'cfg.json')),

  async config(input) {
    const cfg = await readJsonFile(input, within(input.folder, 'cfg.json'));
    return { ...cfg, device: 'cpu', ...input.overrides };
  },

  async weights(input, cfg) {
    const file = await input.open(weightsPath(input), 'safetensors');
    const sources = storedAs(file, (name) => name);
    const settled = await settleScalingFactor(sources, field(cfg, 'finetuning_scaling_factor'));
    if (!Object.hasOwn(cfg, 'finetuning_scaling_factor')) cfg.finetuning_scaling_factor = false;
    return settled;
  },

  async logSparsity(input) {
    if ((await input.files.tryFile(sparsityPath(input))) === undefined) return undefined;
    return stored(await input.open(sparsityPath(input), 'safetensors'), 'sparsity');
  },
};
