import type { FwdHook, NamesFilter } from '../hooks/types.js';
import type { SAE } from '../sae/sae.js';
import type { DecodingOptions } from './generate.js';
import type { Tokens } from './tokens.js';

export interface ForwardOptions {
  /** Whether text gets a BOS token; the model's default when absent. Ids are used as they are. */
  prependBos?: boolean;
  /** "loss": mean cross-entropy in nats; null: no result, for the hooks alone. */
  returnType?: 'logits' | 'loss' | null;
  /** Blocks from this one on; the input is the residual that enters it. */
  startAtLayer?: number;
  /** Blocks before this one; the result is the residual that would enter it. Negatives count from the end. */
  stopAtLayer?: number;
  /** The tokens a residual comes from: their mask counts, and a loss needs them. */
  tokens?: Tokens;
  signal?: AbortSignal;
}

export interface CacheOptions extends ForwardOptions {
  /** The points to keep: a name, several, or those a predicate accepts. */
  namesFilter?: NamesFilter;
}

export interface AttachOptions {
  /** Whether what the SAE misses is added back; the SAE's own setting when absent. */
  useErrorTerm?: boolean;
  /** Special tokens of the tokenizer (BOS, EOS, padding), or these ids, keep their activations. */
  excludeSpecialTokens?: boolean | readonly number[];
}

/** SAEs of one run. */
export interface SaesOptions extends AttachOptions {
  saes: SAE | readonly SAE[];
  /** false leaves them attached. */
  resetSaesEnd?: boolean;
}

export interface GenerateOptions extends Partial<SaesOptions>, DecodingOptions {
  prependBos?: boolean;
  fwdHooks?: readonly FwdHook[];
}
