import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as Engine } from '@huggingface/tokenizers';
import { MonosemError } from '../error.js';
import { JsonReader } from './json_reader.js';

interface SpecialIds {
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId?: number;
}

/**
 * A model's tokenizer (tokenizer.json), with the special tokens as TransformerLens fixes them up: a
 * missing EOS is "<|endoftext|>", a missing pad or BOS the EOS.
 */
export class ModelTokenizer {
  readonly #engine: Engine;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly padTokenId: number | undefined;

  private constructor(engine: Engine, config: JsonReader | undefined, ids: SpecialIds) {
    this.#engine = engine;
    const named = (key: string) => this.#idOf(tokenName(config, key));
    this.eosTokenId = named('eos_token') ?? ids.eosTokenIds[0] ?? this.#idOf('<|endoftext|>');
    this.padTokenId = named('pad_token') ?? ids.padTokenId ?? this.eosTokenId;
    this.bosTokenId = named('bos_token') ?? ids.bosTokenId ?? this.eosTokenId;
  }

  /** The tokenizer of a model folder; undefined when it has none. ERR_TOKENIZER when it cannot be read. */
  static async load(folder: string, ids: SpecialIds): Promise<ModelTokenizer | undefined> {
    const path = join(folder, 'tokenizer.json');
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const configText = await readFile(join(folder, 'tokenizer_config.json'), 'utf8').catch(
      () => '{}',
    );
    try {
      const config = JSON.parse(configText) as object;
      const engine = new Engine(JSON.parse(text) as object, config);
      return new ModelTokenizer(engine, new JsonReader(config, 'tokenizer_config.json'), ids);
    } catch (cause) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        `cannot make a tokenizer of ${path}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  #idOf(token: string | undefined): number | undefined {
    return token === undefined ? undefined : this.#engine.token_to_id(token);
  }

  /** Lone surrogates become U+FFFD first, as every other tokenizer sees them. */
  encode(text: string, options: { addSpecialTokens?: boolean } = {}): Int32Array {
    if (typeof text !== 'string') {
      throw new MonosemError('ERR_TOKENIZER', `expected a string to tokenise, got ${typeof text}`);
    }
    const { ids } = this.#engine.encode(text.toWellFormed(), {
      add_special_tokens: options.addSpecialTokens ?? true,
    });
    return Int32Array.from(ids);
  }

  decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    if (ids.length === 0) return '';
    return this.#engine.decode(Array.from(ids), {
      skip_special_tokens: options.skipSpecialTokens ?? false,
      clean_up_tokenization_spaces: false,
    });
  }

  /** The text's own tokens, with exactly one BOS before them if asked. */
  encodeText(text: string, prependBos: boolean): Int32Array {
    const own = this.encode(text, { addSpecialTokens: false });
    if (!prependBos || own[0] === this.bosTokenId) return own;
    if (this.bosTokenId === undefined) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        'a BOS token was asked for and this tokenizer has none; pass prependBos: false',
      );
    }
    const ids = new Int32Array(own.length + 1);
    ids[0] = this.bosTokenId;
    ids.set(own, 1);
    return ids;
  }
}

/** A special token of tokenizer_config.json: a string, or an object with `content`. */
function tokenName(config: JsonReader | undefined, key: string): string | undefined {
  const value = config?.raw(key);
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}
