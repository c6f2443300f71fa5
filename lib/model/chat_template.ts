import { Template } from '@huggingface/jinja';
import { MonosemError } from '../error.js';
import type { JsonReader } from './json_reader.js';

/** One turn of a conversation. Templates may know further keys (tool calls, reasoning). */
export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [key: string]: unknown;
}

export interface ChatOptions {
  /** Ends with the beginning of the model's turn; it does by default. */
  addGenerationPrompt?: boolean;
  /** What else the template reads, by its own names (`tools`, `enable_thinking`). */
  variables?: Readonly<Record<string, unknown>>;
}

/** A repository's chat template (Jinja): turns messages into the text that the model was tuned on. */
export class ChatTemplate {
  readonly #source: string;
  #template: Template | undefined;
  readonly #tokens: Readonly<Record<string, string>>;

  /** `tokens` are the special tokens a template may spell: bos_token, eos_token, ... */
  constructor(source: string, tokens: Readonly<Record<string, string>>) {
    this.#source = source;
    this.#tokens = tokens;
  }

  /** ERR_TOKENIZER when the template is malformed or refuses the messages. */
  render(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    try {
      this.#template ??= new Template(this.#source);
      return this.#template.render({
        ...this.#tokens,
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? true,
      });
    } catch (cause) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        `the model's chat template does not take these messages: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/** The template of tokenizer_config.json: a string, or the one named "default" of several. */
export function chatTemplateOf(config: JsonReader): string | undefined {
  const value = config.raw('chat_template');
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value as readonly { name?: unknown; template?: unknown }[];
  const chosen = named.find(({ name }) => name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}
