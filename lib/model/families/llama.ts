import { decoderConfig, decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';

/** Llama 3.x and what is distilled into it (DeepSeek-R1-Distill-Llama). */
export const llama: Family = {
  name: 'llama',
  modelTypes: ['llama'],
  config: (text) =>
    decoderConfig(text, {
      dModel: 4096,
      dMlp: 11008,
      nLayers: 32,
      nHeads: 32,
      dVocab: 32000,
      nCtx: 2048,
      theta: 1e4,
      tied: false,
      tokens: { bos: 1, eos: 2 },
    }),
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
