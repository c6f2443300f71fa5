import type { JsonReader } from '../json_reader.js';
import { type RotaryConfig, readRotary } from '../rotary.js';
import { decoderIgnores, decoderWeights, slidingLayers } from './decoder.js';
import type { Family } from './family.js';
import { gemmaConfig, softcap } from './gemma.js';
import { gemmaModules } from './gemma2.js';

/** Checkpoints with a vision tower (4B and larger) keep the text model inside; both nestings exist. */
const prefixes = [
  'model.',
  'language_model.model.',
  'model.language_model.',
  'language_model.',
  '',
];

/** Gemma 3's text model: norms on queries and keys, five windowed layers for each full one. */
export const gemma3: Family = {
  name: 'gemma3',
  modelTypes: ['gemma3_text', 'gemma3'],
  config(text) {
    const base = gemmaConfig(text, {
      dModel: 2304,
      dMlp: 9216,
      nLayers: 26,
      nHeads: 8,
      nKeyValueHeads: 4,
      dHead: 256,
      dVocab: 262208,
      nCtx: 131072,
      theta: 1e6,
    });
    const window = text.integer('sliding_window', 4096);
    const pattern = text.integer(
      'sliding_window_pattern',
      text.integer('_sliding_window_pattern', 6),
    );
    const sliding = slidingLayers(text, base.nLayers, (layer) => (layer + 1) % pattern !== 0);
    const attnScale = text.number('query_pre_attn_scalar', 256) ** -0.5;
    const { local, global } = rotations(text, base.dHead);
    return {
      ...base,
      postNorms: true,
      qkNorm: true,
      layers: base.layers.map((_, i) =>
        sliding[i]
          ? { window, attnScale, rotary: local }
          : { window: 0, attnScale, rotary: global },
      ),
      attnSoftcap: softcap(text, 'attn_logit_softcapping', 0),
      finalSoftcap: softcap(text, 'final_logit_softcapping', 0),
    };
  },
  weights: (files, cfg) => decoderWeights(files, cfg, { prefixes }),
  ignores: decoderIgnores,
  modules: gemmaModules(prefixes.filter((prefix) => prefix !== '')),
};

/** Windowed layers turn by a base of their own and never scale. */
function rotations(text: JsonReader, dHead: number): { local: RotaryConfig; global: RotaryConfig } {
  const parameters = text.object('rope_parameters');
  const localBase = text.number('rope_local_base_freq', 1e4);
  const globalBase = text.number('rope_theta', 1e6);
  return {
    local: readRotary(parameters?.object('sliding_attention'), localBase, dHead),
    global: readRotary(
      parameters?.object('full_attention') ?? text.object('rope_scaling'),
      globalBase,
      dHead,
    ),
  };
}
