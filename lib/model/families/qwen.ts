import type { JsonReader } from '../json_reader.js';
import { type DecoderDefaults, decoderConfig, slidingLayers } from './decoder.js';
import type { FamilyConfig } from './family.js';

/** What Qwen 2 and 3 share: windows only where `use_sliding_window` says so, and no BOS by default. */
export function qwenConfig(text: JsonReader, defaults: DecoderDefaults): FamilyConfig {
  const base = decoderConfig(text, defaults);
  const window = text.boolean('use_sliding_window', false)
    ? text.integer('sliding_window', 4096, 0)
    : 0;
  const first = text.integer('max_window_layers', 28, 0);
  const sliding = slidingLayers(text, base.nLayers, (layer) => layer >= first);
  return {
    ...base,
    defaultPrependBos: false,
    layers: base.layers.map((layer, i) => ({ ...layer, window: sliding[i] ? window : 0 })),
  };
}
