import type { JsonReader } from '../json_reader.js';
import { readActivation } from './common.js';
import { type DecoderDefaults, decoderConfig } from './decoder.js';
import type { FamilyConfig } from './family.js';

/** What all Gemmas share: norms of (1 + w), scaled embeddings, tanh GELU, tied head, BOS 2. */
export function gemmaConfig(
  text: JsonReader,
  defaults: Omit<DecoderDefaults, 'tied' | 'tokens'>,
): FamilyConfig {
  const base = decoderConfig(text, {
    ...defaults,
    tied: true,
    tokens: { bos: 2, eos: 1, pad: 0 },
  });
  return {
    ...base,
    norm: { ...base.norm, weightOffset: 1 },
    // Files of Gemma 1 may say hidden_act "gelu"; transformers runs the tanh form all the same.
    activation: readActivation(text, 'hidden_activation', 'gelu_pytorch_tanh'),
    embedScaled: true,
  };
}

/** An explicit null switches a cap off. */
export function softcap(text: JsonReader, key: string, fallback: number): number {
  return text.mentions(key) ? text.number(key, 0) : fallback;
}
