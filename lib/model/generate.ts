import { MonosemError } from '../error.js';
import type { RunOptions } from '../hooks/hook_registry.js';
import type { Tensor } from '../tensor.js';
import type { ModelEngine } from './engine.js';
import { KeyValueCache } from './key_value_cache.js';
import { Sampler, type SamplingOptions } from './sampler.js';
import type { ModelTokenizer } from './tokenizer.js';
import type { Tokens } from './tokens.js';

export interface DecodingOptions extends SamplingOptions {
  /** 10 by default. */
  maxNewTokens?: number;
  /** Whether a row ends at the model's end-of-sequence token; it does by default. */
  stopAtEos?: boolean;
  signal?: AbortSignal;
}

/**
 * New tokens one step at a time, one per row, after left-padded prompts. Each step runs the new tokens
 * alone over the key-value cache; hooks and splices see every step. A row that ended repeats its end.
 */
export async function* generateSteps(
  engine: ModelEngine,
  prompt: Tokens,
  stops: readonly number[],
  options: DecodingOptions & Pick<RunOptions, 'fwdHooks' | 'splices'>,
): AsyncGenerator<Int32Array> {
  const { maxNewTokens = 10, signal, fwdHooks, splices } = options;
  const { cfg } = engine.model;
  const [batch, length] = prompt.shape;
  checkLength(maxNewTokens, length, cfg.positions === 'learned' ? cfg.nCtx : undefined);
  const sampler = new Sampler(options);
  const ends = options.stopAtEos === false ? [] : stops;
  const ended = new Uint8Array(batch);
  using keyValues = new KeyValueCache(cfg);
  let input = prompt;
  for (let step = 0; step < maxNewTokens; step++) {
    const request = { keyValues, fwdHooks, splices, signal, onlyLast: true };
    const logits = (await engine.run(input, request)) as Tensor;
    const last = logits.slice(null, -1);
    logits.dispose();
    const next = await sampler.draw(last);
    last.dispose();
    for (let row = 0; row < batch; row++) {
      if (ended[row]) next[row] = ends[0] as number;
      else if (ends.includes(next[row] as number)) ended[row] = 1;
    }
    yield next;
    if (ended.every((isEnd) => isEnd === 1)) return;
    input = { ids: next, shape: [batch, 1] };
  }
}

function checkLength(maxNewTokens: number, length: number, room: number | undefined): void {
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 0) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `expected maxNewTokens to be a whole number of at least 0, got ${maxNewTokens}`,
    );
  }
  if (room !== undefined && length + maxNewTokens > room + 1) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `a prompt of ${length} tokens and ${maxNewTokens} new ones do not fit the model's ${room} positions; ask for at most ${Math.max(0, room + 1 - length)}`,
    );
  }
}

/** A batch with the tokens of every step behind it. */
export function appendSteps(prompt: Tokens, steps: readonly Int32Array[]): Tokens {
  const [batch, length] = prompt.shape;
  const total = length + steps.length;
  const ids = new Int32Array(batch * total);
  const mask = new Uint8Array(batch * total).fill(1);
  for (let row = 0; row < batch; row++) {
    const at = row * total;
    ids.set(prompt.ids.subarray(row * length, (row + 1) * length), at);
    if (prompt.mask) mask.set(prompt.mask.subarray(row * length, (row + 1) * length), at);
    steps.forEach((step, i) => {
      ids[at + length + i] = step[row] as number;
    });
  }
  const shape = [batch, total] as const;
  return prompt.mask === undefined ? { ids, shape } : { ids, shape, mask };
}

/**
 * Text of a growing sequence. A token may end inside a character, or change how its neighbour is
 * spaced: what it adds is the difference of decoding with and without it, once it is whole.
 */
export class TextStream {
  readonly #tokenizer: ModelTokenizer;
  readonly #ids: number[];
  #start: number;
  #told: number;

  /** `before` are the last tokens of the prompt, whose text is not told again. */
  constructor(tokenizer: ModelTokenizer, before: ArrayLike<number>) {
    this.#tokenizer = tokenizer;
    this.#ids = Array.from(before);
    this.#start = 0;
    this.#told = this.#ids.length;
  }

  /** The text the token completes; '' while a character is unfinished. */
  push(id: number): string {
    this.#ids.push(id);
    const decode = (end: number) =>
      this.#tokenizer.decode(this.#ids.slice(this.#start, end), { skipSpecialTokens: true });
    const known = decode(this.#told);
    const text = decode(this.#ids.length);
    if (text.endsWith('\ufffd') || text.length <= known.length) return '';
    this.#start = this.#told;
    this.#told = this.#ids.length;
    return text.slice(known.length);
  }
}
