import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import type { Tensor } from '../tensor.js';
import type { ModelConfig } from './config.js';
import { ModelEngine } from './engine.js';
import type { NamingStyle } from './hook_points.js';
import { InputReader } from './input.js';
import type { LoadedModel } from './load.js';
import type { ModelTokenizer } from './tokenizer.js';
import { realRows, type Tokens } from './tokens.js';

/** What a loaded model knows without running: its configuration, its weights, its tokens. */
export class TextModel {
  /** @internal */
  protected readonly engine: ModelEngine;
  /** @internal */
  protected readonly input: InputReader;

  /** @internal */
  constructor(model: LoadedModel, style: NamingStyle = 'transformer_lens') {
    this.engine = new ModelEngine(model, style);
    this.input = new InputReader(model.cfg, model.tokenizer);
  }

  get cfg(): ModelConfig & Readonly<Record<string, unknown>> {
    return this.engine.model.cfg as ModelConfig & Readonly<Record<string, unknown>>;
  }

  get device(): Device {
    return this.engine.device;
  }

  /** ERR_TOKENIZER when the model's folder has none. */
  get tokenizer(): ModelTokenizer {
    return this.input.tokenizer;
  }

  /** Every hook point in firing order, those of attached SAEs included. */
  get hookNames(): readonly string[] {
    return this.engine.hooks.names();
  }

  /** [d_vocab, d_model]; the model's own, not to be disposed or edited. */
  get W_E(): Tensor {
    return this.engine.model.weights.W_E;
  }
  /** [d_model, d_vocab]. */
  get W_U(): Tensor {
    return this.engine.model.weights.W_U;
  }
  /** [d_vocab]; undefined where there is none, as before norms are folded. */
  get b_U(): Tensor | undefined {
    return this.engine.model.weights.b_U;
  }
  /** [n_ctx, d_model]; undefined where positions are rotations. */
  get W_pos(): Tensor | undefined {
    return this.engine.model.weights.W_pos;
  }

  /** Texts as one batch, shorter ones padded on the right under a mask. */
  toTokens(text: string | readonly string[], options: { prependBos?: boolean } = {}): Tokens {
    return this.input.tokens(text, options);
  }

  /** TransformerLens' to_string, under a name that does not shadow Object's. Several rows are joined by newlines. */
  toText(tokens: Tokens | ArrayLike<number>): string {
    if (!('ids' in tokens)) return this.tokenizer.decode(tokens);
    const [batch, length] = tokens.shape;
    const rows = realRows({ ids: tokens.ids, shape: [batch, length] });
    return rows.map((ids) => this.tokenizer.decode(ids)).join('\n');
  }

  /** Each token by itself. */
  toStrTokens(input: string | ArrayLike<number>, options: { prependBos?: boolean } = {}): string[] {
    const ids = typeof input === 'string' ? this.toTokens(input, options).ids : input;
    return Array.from(ids, (id) => this.tokenizer.decode([id]));
  }

  /** The id of a text that is one token. ERR_TOKENIZER when it is none or several. */
  toSingleToken(text: string): number {
    const ids = this.tokenizer.encodeText(text, false);
    if (ids.length !== 1) {
      throw new MonosemError(
        'ERR_TOKENIZER',
        `expected one token, ${JSON.stringify(text)} is ${ids.length}: ${JSON.stringify(this.toStrTokens(ids))}`,
      );
    }
    return ids[0] as number;
  }
}
