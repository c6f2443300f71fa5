import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as Engine } from '@huggingface/tokenizers';
import { MonosemError } from '../error.js';
import {
  type ChatMessage,
  type ChatOptions,
  ChatTemplate,
  chatTemplateOf,
} from './chat_template.js';
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

  readonly #chat: ChatTemplate | undefined;

  private constructor(
    engine: Engine,
    config: JsonReader,
    ids: SpecialIds,
    chatTemplate: string | undefined,
  ) {
    this.#engine = engine;
    const source = chatTemplate ?? chatTemplateOf(config);
    this.#chat = source === undefined ? undefined : new ChatTemplate(source, spelledTokens(config));
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
    const optional = (file: string) => readFile(join(folder, file), 'utf8').catch(() => undefined);
    const configText = (await optional('tokenizer_config.json')) ?? '{}';
    const chatTemplate = await optional('chat_template.jinja');
    try {
      const config = JSON.parse(configText) as object;
      const engine = new Engine(JSON.parse(text) as object, config);
      const reader = new JsonReader(config, 'tokenizer_config.json');
      return new ModelTokenizer(engine, reader, ids, chatTemplate);
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

  /**
   * A conversation as the text that the model was tuned on, by the repository's chat template. A BOS
   * token that the template writes is not doubled by `toTokens`.
   * @throws ERR_TOKENIZER when the repository has no template, or it refuses the messages
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    if (this.#chat === undefined) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        'this model has no chat template (chat_template in tokenizer_config.json): it was not tuned on conversations',
      );
    }
    return this.#chat.render(messages, options);
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

/** The special tokens a chat template spells by name. */
function spelledTokens(config: JsonReader): Record<string, string> {
  const names = ['bos_token', 'eos_token', 'pad_token', 'unk_token'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const token = tokenName(config, name);
      return token === undefined ? [] : [[name, token]];
    }),
  );
}

/** A special token of tokenizer_config.json: a string, or an object with `content`. */
function tokenName(config: JsonReader, key: string): string | undefined {
  const value = config.raw(key);
  if (typeof value === 'string') return value;
  const content = (value as { content?: unknown } | undefined)?.content;
  return typeof content === 'string' ? content : undefined;
}
