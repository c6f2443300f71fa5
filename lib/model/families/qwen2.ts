import { decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';
import { qwenConfig } from './qwen.js';

/** Qwen 2 and 2.5: Llama with biases on q, k and v. */
export const qwen2: Family = {
  name: 'qwen2',
  modelTypes: ['qwen2'],
  config: (text) =>
    qwenConfig(text, {
      dModel: 4096,
      dMlp: 22016,
      nLayers: 32,
      nHeads: 32,
      nKeyValueHeads: 32,
      dVocab: 151936,
      nCtx: 32768,
      theta: 1e4,
      tied: false,
    }),
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''], qkvBias: true }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
