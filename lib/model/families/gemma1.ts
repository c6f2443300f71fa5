import { decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';
import { gemmaConfig } from './gemma.js';

export const gemma1: Family = {
  name: 'gemma1',
  modelTypes: ['gemma'],
  config: (text) =>
    gemmaConfig(text, {
      dModel: 3072,
      dMlp: 24576,
      nLayers: 28,
      nHeads: 16,
      nKeyValueHeads: 16,
      dHead: 256,
      dVocab: 256000,
      nCtx: 8192,
      theta: 1e4,
    }),
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
