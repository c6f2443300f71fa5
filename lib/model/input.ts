import { MonosemError } from '../error.js';
import { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';
import type { ModelTokenizer } from './tokenizer.js';
import { checkTokens, packTokens, realRows, type Tokens, tokenRow } from './tokens.js';

/** Text, several texts, tokens, or bare ids of one or several rows. */
export type Input =
  | string
  | readonly string[]
  | Tokens
  | readonly number[]
  | readonly (readonly number[])[];

export interface TokenOptions {
  /** Whether text gets exactly one BOS; the model's default when absent. */
  readonly prependBos?: boolean | undefined;
  /** Where shorter rows are padded; right unless text is to be continued. */
  readonly side?: 'left' | 'right';
}

/** Turns what a caller gives into checked tokens. */
export class InputReader {
  readonly #cfg: ModelConfig;
  readonly #tokenizer: ModelTokenizer | undefined;

  constructor(cfg: ModelConfig, tokenizer: ModelTokenizer | undefined) {
    this.#cfg = cfg;
    this.#tokenizer = tokenizer;
  }

  /** ERR_TOKENIZER when the model has none. */
  get tokenizer(): ModelTokenizer {
    if (this.#tokenizer === undefined) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        `${this.#cfg.modelName} has no tokenizer.json; pass token ids instead of text`,
      );
    }
    return this.#tokenizer;
  }

  get padTokenId(): number {
    return this.#tokenizer?.padTokenId ?? this.#cfg.padTokenId ?? this.#cfg.eosTokenIds[0] ?? 0;
  }

  /** @throws ERR_SHAPE, ERR_INVALID_ARGUMENT (ids outside the vocabulary), ERR_TOKENIZER */
  tokens(input: Input, { prependBos, side = 'right' }: TokenOptions = {}): Tokens {
    return checkTokens(this.#pack(input, prependBos, side), this.#cfg.dVocab);
  }

  #pack(input: Input, prependBos: boolean | undefined, side: 'left' | 'right'): Tokens {
    const encode = (text: string) =>
      this.tokenizer.encodeText(text, prependBos ?? this.#cfg.defaultPrependBos);
    const pack = (rows: readonly ArrayLike<number>[]) => packTokens(rows, this.#padOf(rows), side);
    if (typeof input === 'string') return pack([encode(input)]);
    if (Array.isArray(input)) {
      if (input.every((item) => typeof item === 'string')) return pack(input.map(encode));
      if (input.every((item) => typeof item === 'number')) return pack([tokenRow(input)]);
      if (input.every((item) => Array.isArray(item) || ArrayBuffer.isView(item))) {
        return pack(input.map((row) => tokenRow(row as ArrayLike<number>)));
      }
    }
    if (isTokens(input)) return side === 'left' ? toLeft(input) : input;
    if (ArrayBuffer.isView(input)) return pack([tokenRow(input as unknown as ArrayLike<number>)]);
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'expected text, an array of texts, token ids, an array of rows of ids, or { ids, shape, mask? }',
    );
  }

  /** Pads are masked, so any id of the vocabulary will do where the model names none. */
  #padOf(rows: readonly ArrayLike<number>[]): number {
    const isRagged = rows.some((row) => row.length !== rows[0]?.length);
    const pad = this.padTokenId;
    return isRagged && pad >= this.#cfg.dVocab ? 0 : pad;
  }
}

function isTokens(input: unknown): input is Tokens {
  const { ids, shape } = (input ?? {}) as Partial<Tokens>;
  return ids instanceof Int32Array && Array.isArray(shape);
}

/** Pads moved in front of the text, so that new tokens follow it. */
function toLeft(tokens: Tokens): Tokens {
  return tokens.mask === undefined ? tokens : packTokens(realRows(tokens), 0, 'left');
}

/** int32 ids [pos] or [batch, pos] of a tensor, read back. */
export async function tokensOfTensor(tensor: Tensor, dVocab: number): Promise<Tokens> {
  const shape = tensor.shape.length === 1 ? [1, ...tensor.shape] : tensor.shape;
  const ids = (await tensor.data()) as Int32Array;
  return checkTokens({ ids, shape: shape as [number, number] }, dVocab);
}

export function isTokenTensor(input: unknown): input is Tensor {
  return input instanceof Tensor && input.dtype === 'int32';
}
