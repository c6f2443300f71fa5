import type { LoadOptions } from './hub/options.js';
import { HookedTransformer } from './model/hooked_transformer.js';

/**
 * A model with the weights as published, under the names of Hugging Face's modules: the same
 * HookedTransformer, whose hooks, filters and traces take `model.layers.12` or `layers.12` as well.
 */
const underHuggingFaceNames = {
  fromPretrained(name: string, options: LoadOptions = {}): Promise<HookedTransformer> {
    return HookedTransformer.fromPretrainedNoProcessing(name, { ...options });
  },
};

/** transformers' AutoModel: hooks by module path (`registerForwardHook("layers.12", ...)`). */
export const AutoModel = underHuggingFaceNames;
/** transformers' AutoModelForCausalLM (`registerForwardHook("model.layers.12", ...)`). */
export const AutoModelForCausalLM = underHuggingFaceNames;
/** nnsight's LanguageModel: `trace`. */
export const LanguageModel = underHuggingFaceNames;
