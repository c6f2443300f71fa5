import { MonosemError } from '../../error.js';
import type { Activation } from '../../ops.js';
import type { JsonReader } from '../json_reader.js';

/** Hugging Face's names of the activations (gelu_new and gelu_pytorch_tanh are one function). */
const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
};

export function readActivation(text: JsonReader, key: string, fallback: string): Activation {
  const name = text.string(key, fallback);
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (activation === undefined) {
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      `${text.where}: activation '${name}' is not supported; supported are ${Object.keys(activations).join(', ')}`,
    );
  }
  return activation;
}

interface SpecialTokens {
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId?: number;
}

/** The ids of config.json; what it omits is the class default of transformers. */
export function readTokenIds(
  text: JsonReader,
  defaults: { bos?: number; eos?: number; pad?: number } = {},
): SpecialTokens {
  const read = (key: string, fallback: number | undefined): readonly number[] => {
    const ids = text.tokenIds(key);
    return ids.length > 0 || fallback === undefined ? ids : [fallback];
  };
  const [bos] = read('bos_token_id', defaults.bos);
  const [pad] = read('pad_token_id', defaults.pad);
  return {
    ...(bos !== undefined && { bosTokenId: bos }),
    eosTokenIds: read('eos_token_id', defaults.eos),
    ...(pad !== undefined && { padTokenId: pad }),
  };
}

/** More than any model has; a file that says more is broken or hostile, and would be allocated for. */
const MOST_LAYERS = 4096;
const MOST_EXPERTS = 65536;

export function readLayers(text: JsonReader, key: string, fallback: number): number {
  return text.integer(key, fallback, 1, MOST_LAYERS);
}

export function readExperts(text: JsonReader, key: string, fallback: number): number {
  return text.integer(key, fallback, 1, MOST_EXPERTS);
}
