import { type Device, resolveDevice } from '../device.js';
import { MonosemError } from '../error.js';
import type { LoadOptions } from '../hub/options.js';
import { fence } from '../ops.js';
import type { ModelConfig } from './config.js';
import type { ModuleNames } from './families/family.js';
import { readModelConfig } from './families/index.js';
import { modelFolder, readConfig, readOptional } from './folder.js';
import { type ProcessingOptions, processWeights } from './processing.js';
import { ModelTokenizer } from './tokenizer.js';
import { WeightFiles } from './weight_files.js';
import { aliasWeights, type ModelWeights, tensorsOf } from './weights.js';

/** A model read from disk, before anything is asked of it. */
export interface LoadedModel {
  readonly cfg: ModelConfig;
  readonly device: Device;
  readonly modules: ModuleNames;
  readonly weights: ModelWeights;
  readonly tokenizer: ModelTokenizer | undefined;
}

/** config.json, tokenizer and weights of a folder, a Hugging Face id, or a short name. */
export async function loadModel(
  name: string,
  options: LoadOptions & Readonly<Record<string, unknown>>,
): Promise<LoadedModel> {
  const dtype = options.dtype ?? 'float32';
  if (!['float32', 'float16', 'bfloat16'].includes(dtype)) {
    throw new MonosemError(
      'ERR_DTYPE',
      `expected dtype to be float32, float16 or bfloat16, got '${String(dtype)}'`,
    );
  }
  const device = resolveDevice(options.device) as Device;
  const folder = await modelFolder(name, options);
  const { cfg: read, family } = readModelConfig(await readConfig(folder), folder.modelName, dtype);
  const generation = await readOptional(folder, 'generation_config.json');
  const stops = new Set([...read.eosTokenIds, ...(generation?.tokenIds('eos_token_id') ?? [])]);
  const cfg = { ...read, eosTokenIds: [...stops] };
  const tokenizer = await ModelTokenizer.load(folder.path, cfg);
  const isTiedHead = (tensor: string) =>
    cfg.tiedEmbeddings && /(^|\.)lm_head\.weight$/.test(tensor);
  const isWanted = (tensor: string) => !family.ignores.test(tensor) && !isTiedHead(tensor);
  using files = await WeightFiles.open(folder.path, dtype, device, isWanted, options.signal);
  const views = family.weights(files, cfg);
  const { weights, done } = processWeights(aliasWeights(views), cfg, readProcessing(options));
  for (const view of tensorsOf(views)) view.dispose();
  await fence(device);
  return { cfg: { ...cfg, processing: done }, device, modules: family.modules, weights, tokenizer };
}

/** Options may come from an SAE's metadata (`model_from_pretrained_kwargs`), in Python's spelling. */
function readProcessing(options: Readonly<Record<string, unknown>>): ProcessingOptions {
  const asked = (name: string, python: string) => (options[name] ?? options[python]) === true;
  return {
    foldLn: asked('foldLn', 'fold_ln'),
    centerWritingWeights: asked('centerWritingWeights', 'center_writing_weights'),
    centerUnembed: asked('centerUnembed', 'center_unembed'),
  };
}
