import { decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';
import { qwenConfig } from './qwen.js';

/** Qwen 3, dense: no biases, RMSNorm of each query and key head before the rotation. */
export const qwen3: Family = {
  name: 'qwen3',
  modelTypes: ['qwen3'],
  config: (text) => ({
    ...qwenConfig(text, {
      dModel: 4096,
      dMlp: 22016,
      nLayers: 32,
      nHeads: 32,
      nKeyValueHeads: 32,
      dHead: 128,
      dVocab: 151936,
      nCtx: 32768,
      theta: 1e4,
      tied: false,
    }),
    qkNorm: true,
  }),
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
