import { decoderIgnores, decoderModules, decoderWeights, slidingLayers } from './decoder.js';
import type { Family, ModuleNames } from './family.js';
import { gemmaConfig, softcap } from './gemma.js';

/** Gemma 2: four norms per block, capped scores and logits, a window in every other layer. */
export const gemma2: Family = {
  name: 'gemma2',
  modelTypes: ['gemma2'],
  config(text) {
    const base = gemmaConfig(text, {
      dModel: 2304,
      dMlp: 9216,
      nLayers: 26,
      nHeads: 8,
      nKeyValueHeads: 4,
      dHead: 256,
      dVocab: 256000,
      nCtx: 8192,
      theta: 1e4,
    });
    const window = text.integer('sliding_window', 4096);
    const sliding = slidingLayers(text, base.nLayers, (layer) => layer % 2 === 0);
    const attnScale = text.number('query_pre_attn_scalar', 256) ** -0.5;
    return {
      ...base,
      postNorms: true,
      layers: base.layers.map((layer, i) => ({
        ...layer,
        attnScale,
        window: sliding[i] ? window : 0,
      })),
      attnSoftcap: softcap(text, 'attn_logit_softcapping', 50),
      finalSoftcap: softcap(text, 'final_logit_softcapping', 30),
    };
  },
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes: ['model.', ''] }),
  ignores: decoderIgnores,
  modules: gemmaModules(['model.']),
};

/** The four norms of Gemma 2 and 3. */
export function gemmaModules(prefixes: readonly string[]): ModuleNames {
  return {
    ...decoderModules,
    prefixes,
    ln1Post: 'post_attention_layernorm',
    ln2: 'pre_feedforward_layernorm',
    ln2Post: 'post_feedforward_layernorm',
  };
}
