import { decoderConfig, decoderIgnores, decoderModules, decoderWeights } from './decoder.js';
import type { Family } from './family.js';

/** Mistral 7B: Llama with a window in every layer (v0.1; later versions say null). */
export const mistral: Family = {
  name: 'mistral',
  modelTypes: ['mistral'],
  config(text) {
    const base = decoderConfig(text, {
      dModel: 4096,
      dMlp: 14336,
      nLayers: 32,
      nHeads: 32,
      nKeyValueHeads: 8,
      dVocab: 32000,
      nCtx: 131072,
      theta: 1e4,
      tied: false,
      tokens: { bos: 1, eos: 2 },
    });
    const window = text.mentions('sliding_window') ? text.integer('sliding_window', 0, 0) : 4096;
    return { ...base, layers: base.layers.map((layer) => ({ ...layer, window })) };
  },
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: decoderModules,
};
