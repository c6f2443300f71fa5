import { MonosemError } from '../../error.js';
import type { DType } from '../../native.js';
import type { ModelConfig } from '../config.js';
import type { JsonReader } from '../json_reader.js';
import type { Family } from './family.js';
import { gemma1 } from './gemma1.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { gpt2 } from './gpt2.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { neox } from './neox.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';
import { qwen3Moe } from './qwen3_moe.js';

/** Every family there is. A new one is a file and a line here. */
const families: readonly Family[] = [
  gpt2,
  neox,
  llama,
  mistral,
  qwen2,
  qwen3,
  qwen3Moe,
  gemma1,
  gemma2,
  gemma3,
];

/**
 * A model's configuration from its config.json, whatever it is called: `model_type` picks the family.
 * Multimodal checkpoints keep the language model's part in `text_config`.
 * @throws ERR_FORMAT for keys that are missing or of the wrong type, ERR_UNSUPPORTED for other families.
 */
export function readModelConfig(
  config: JsonReader,
  modelName: string,
  dtype: DType,
): { cfg: ModelConfig; family: Family } {
  const text = config.object('text_config') ?? config;
  const modelType = text.has('model_type')
    ? text.string('model_type')
    : config.string('model_type');
  const family = families.find(({ modelTypes }) => modelTypes.includes(modelType));
  if (family === undefined) {
    const supported = families.flatMap(({ modelTypes }) => modelTypes).join(', ');
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      `${config.where}: models of type '${modelType}' are not supported; supported types are ${supported}`,
    );
  }
  const cfg: ModelConfig = {
    ...family.config(text),
    modelName,
    modelType,
    family: family.name,
    dtype,
    processing: { foldLn: false, centerWritingWeights: false, centerUnembed: false },
  };
  return { cfg, family };
}
