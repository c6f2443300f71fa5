import { MonosemError } from '../error.js';
import type { FwdHook, Hook, HookHandle, HookPoint } from '../hooks/types.js';
import type { LoadOptions } from '../hub/options.js';
import { inspectAs } from '../inspect.js';
import { Tensor } from '../tensor.js';
import type { RunRequest } from './engine.js';
import { appendSteps, generateSteps, TextStream } from './generate.js';
import { type Input, isTokenTensor, tokensOfTensor } from './input.js';
import { loadModel } from './load.js';
import { ModelCache } from './model_cache.js';
import type { CacheOptions, ForwardOptions, GenerateOptions, SaesOptions } from './options.js';
import { PROCESSED, type ProcessingOptions } from './processing.js';
import { TextModel } from './text_model.js';
import { realRows, type Tokens } from './tokens.js';
import { type TraceBody, TraceSession } from './trace.js';

/**
 * A language model whose every intermediate can be read and replaced, under TransformerLens' names, with
 * Hugging Face's numbers. Make one with `fromPretrained` or `fromPretrainedNoProcessing`.
 */
export class HookedTransformer extends TextModel implements AsyncDisposable {
  /**
   * Weights as TransformerLens processes them by default: norms folded, writing weights and unembedding
   * centred. Predictions are the same; activations are not those SAEs were trained on.
   */
  static async fromPretrained(
    name: string,
    options: LoadOptions & ProcessingOptions = {},
  ): Promise<HookedTransformer> {
    return new this(await loadModel(name, { ...PROCESSED, ...options }));
  }

  /**
   * Raw weights, as SAEs were trained on: a local folder, a Hugging Face id, or a short name of
   * TransformerLens ("gpt2-small").
   * @throws ERR_NOT_FOUND, ERR_FORMAT, ERR_UNSUPPORTED, and what the hub throws
   */
  static async fromPretrainedNoProcessing(
    name: string,
    options: LoadOptions & Record<string, unknown> = {},
  ): Promise<HookedTransformer> {
    return new this(await loadModel(name, options));
  }

  /**
   * Logits [batch, pos, d_vocab]; with `returnType: "loss"` their loss, rank 0; with `stopAtLayer` the
   * residual [batch, pos, d_model]. With `returnType: null` nothing (undefined).
   * @throws ERR_INVALID_ARGUMENT (tokens outside the vocabulary), ERR_SHAPE, ERR_ABORTED, ERR_DISPOSED
   */
  async forward(input: Input | Tensor, options: ForwardOptions = {}): Promise<Tensor> {
    return (await this.run(input, options)).result;
  }

  /**
   * Runs and keeps what the points carried: all of them but the costly ones (such as hook_result),
   * or those `namesFilter` names. With `returnType: null` the run ends after the last layer kept.
   */
  runWithCache(
    input: Input | Tensor,
    options: CacheOptions = {},
  ): Promise<{ logits: Tensor; cache: ModelCache; tokens: Tokens }> {
    return this.runCached(input, options);
  }

  /** Runs with hooks that count for this run only. ERR_HOOK for a point that does not exist. */
  async runWithHooks(
    input: Input | Tensor,
    options: ForwardOptions & { fwdHooks: readonly FwdHook[] },
  ): Promise<Tensor> {
    return (await this.run(input, options)).result;
  }

  /** A hook for every run until it is removed. */
  addHook(
    name: string | ((name: string) => boolean),
    hook: Hook<Tensor>,
    options: { permanent?: boolean } = {},
  ): HookHandle {
    this.engine.alive();
    return this.engine.hooks.add(name, hook as (act: never, point: HookPoint) => unknown, options);
  }

  /** Removes the hooks that `addHook` and `registerForwardHook` added, but permanent ones. */
  resetHooks(options: { includingPermanent?: boolean } = {}): void {
    this.engine.hooks.reset(options);
  }

  /** Several hooks at once: `using _ = model.hooks([...])` keeps them on until the block ends. */
  hooks(fwdHooks: readonly FwdHook[]): HookHandle {
    this.engine.alive();
    const handles: HookHandle[] = [];
    const remove = () => {
      for (const handle of handles.splice(0)) handle.remove();
    };
    try {
      for (const [match, hook] of fwdHooks) {
        handles.push(
          this.engine.hooks.add(match, hook as (act: never, point: HookPoint) => unknown),
        );
      }
    } catch (error) {
      remove();
      throw error;
    }
    return { remove, [Symbol.dispose]: remove };
  }

  /** Hugging Face module paths ("model.layers.12", "layers.12", "transformer.h.5") name the same points. */
  registerForwardHook(modulePath: string, hook: Hook<Tensor>): HookHandle {
    return this.addHook(modulePath, hook);
  }

  /**
   * Continues a prompt by `maxNewTokens` (10): the whole text without special tokens, and all tokens.
   * Rows of a batch are padded on the left; their texts are joined by newlines. Hooks and attached
   * SAEs see every token once.
   */
  async generate(
    input: Input,
    options: GenerateOptions = {},
  ): Promise<{ text: string; tokens: Tokens }> {
    const { prompt, steps } = this.#generation(input, options);
    const made: Int32Array[] = [];
    for await (const step of steps) made.push(step);
    const tokens = appendSteps(prompt, made);
    return { tokens, text: this.engine.model.tokenizer ? this.#plainText(tokens) : '' };
  }

  /** The same for one prompt, token by token. `text` is what a token completes, '' inside a character. */
  async *generateStream(
    input: Input,
    options: GenerateOptions = {},
  ): AsyncGenerator<{ readonly token: number; readonly text: string }> {
    const { prompt, steps } = this.#generation(input, options);
    if (prompt.shape[0] !== 1) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `generateStream continues one prompt, got ${prompt.shape[0]}; use generate for a batch`,
      );
    }
    const { tokenizer } = this.engine.model;
    const text = tokenizer && new TextStream(tokenizer, prompt.ids.subarray(-8));
    for await (const [token] of steps as AsyncIterable<[number]>) {
      yield { token, text: text?.push(token) ?? '' };
    }
  }

  #generation(input: Input, options: GenerateOptions) {
    this.engine.alive();
    const { splices, prependBos } = this.prepareSaes(options);
    const prompt = this.input.tokens(input, { prependBos, side: 'left' });
    const { cfg, tokenizer } = this.engine.model;
    const own = tokenizer?.eosTokenId;
    const stops = [...new Set([...cfg.eosTokenIds, ...(own === undefined ? [] : [own])])];
    return { prompt, steps: generateSteps(this.engine, prompt, stops, { ...options, splices }) };
  }

  #plainText(tokens: Tokens): string {
    const texts = realRows(tokens).map((ids) =>
      this.tokenizer.decode(ids, { skipSpecialTokens: true }),
    );
    return texts.join('\n');
  }

  /**
   * nnsight's tracing: `t` mirrors Hugging Face's module tree (`t.model.layers[12].output`). Awaiting an
   * output parks until that module has run; assigning, or editing in place, changes what flows on. The
   * forward ends when the body does. What the body returns (or `t.save`s) lives on; other reads are freed.
   * Values are read in the order in which modules run: ERR_HOOK otherwise.
   */
  trace<R>(input: Input, body: TraceBody<R>): Promise<R>;
  /** Inputs given by `t.invoke` in the body go through one forward. */
  trace<R>(body: TraceBody<R>): Promise<R>;
  trace<R>(input: Input | TraceBody<R>, body?: TraceBody<R>): Promise<R> {
    this.engine.alive();
    const { prependBos } = this.prepareSaes({});
    const session = new TraceSession(this.engine, (given) =>
      this.input.tokens(given, { prependBos, side: 'left' }),
    );
    return typeof input === 'function'
      ? session.run(undefined, input)
      : session.run(input, body as TraceBody<R>);
  }

  /** @internal What the SAEs of one run come to; a model without SAEs refuses them. */
  protected prepareSaes(
    options: Partial<SaesOptions> & { prependBos?: boolean },
  ): Pick<RunRequest, 'splices'> & { prependBos?: boolean } {
    if (options.saes === undefined) {
      return options.prependBos === undefined ? {} : { prependBos: options.prependBos };
    }
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      'this model takes no SAEs; load it with HookedSAETransformer.fromPretrainedNoProcessing',
    );
  }

  /** @internal What every run goes through. */
  protected async run(
    input: Input | Tensor,
    options: ForwardOptions & RunRequest,
  ): Promise<{ result: Tensor; tokens: Tokens | undefined }> {
    this.engine.alive();
    const read = await this.#read(input, options.prependBos);
    const result = await this.engine.run(read, options);
    const tokens = 'ids' in read ? read : options.tokens;
    // returnType null gives no tensor; the contract's type speaks of the others.
    return { result: result as Tensor, tokens };
  }

  /** @internal `run` with a cache, which is freed when the run fails. */
  protected async runCached(
    input: Input | Tensor,
    options: CacheOptions & RunRequest,
  ): Promise<{ logits: Tensor; cache: ModelCache; tokens: Tokens }> {
    const cache = new ModelCache(this.engine);
    try {
      const { result, tokens } = await this.run(input, { ...options, cache });
      return { logits: result, cache, tokens: tokens as Tokens };
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  async #read(input: Input | Tensor, prependBos?: boolean): Promise<Tokens | Tensor> {
    if (isTokenTensor(input)) return tokensOfTensor(input, this.cfg.dVocab);
    return input instanceof Tensor ? input : this.input.tokens(input, { prependBos });
  }

  /** Frees the weights once commands in flight are done with them. */
  async dispose(): Promise<void> {
    this.engine.dispose();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

inspectAs(HookedTransformer, ({ cfg: { modelName, nLayers, dModel }, device }) => {
  return `${modelName}: ${nLayers} layers of width ${dModel} on ${device}`;
});
