import { MonosemError } from '../error.js';
import type { HookRun } from '../hooks/hook_run.js';
import { unknownHook } from '../hooks/unknown.js';
import { alias } from '../ops.js';
import { reachable } from '../scope.js';
import { Tensor } from '../tensor.js';
import type { ModelEngine } from './engine.js';
import type { Input } from './input.js';
import type { Hooks } from './run.js';
import { realRows, type Tokens } from './tokens.js';
import { moduleTree, type Trace, type TraceAccess } from './trace_tree.js';

export type TraceBody<R> = (t: Trace) => Promise<R> | R;

/** Where the logits that the model returns are asked for: after every module. */
const RESULT = '';

interface Request {
  readonly resolve: (value: Tensor) => void;
  readonly reject: (error: unknown) => void;
}

/** One body of a trace: the rows it sees, what it waits for, what it wants replaced. */
interface Reader {
  /** Rows of the batch; all of them when absent. */
  rows?: readonly [start: number, end: number];
  readonly requests: Map<string, Request[]>;
  readonly replacements: Map<string, Tensor>;
  /** Bodies it started and that have not returned. */
  invoked: number;
  isDone: boolean;
}

/** Thrown inside the forward to end it. */
class Stop extends Error {}

/**
 * One forward and the bodies that read it. The two take turns: while a body runs the forward waits at
 * the point it was asked for; while every body waits for a module, the forward runs. A value is read as
 * another handle on the forward's own memory, so in-place edits count.
 */
export class TraceSession {
  readonly #engine: ModelEngine;
  readonly #readers: Reader[] = [];
  readonly #rows: { tokens: Tokens; reader: Reader }[] = [];
  readonly #values = new Set<Tensor>();
  readonly #saved = new Set<unknown>();
  readonly #readTokens: (input: Input) => Tokens;
  #changed: () => void = () => {};
  #hasBegun = false;
  /** The point the forward stands at, and what flows there. */
  #at: { readonly name: string; readonly order: number } | undefined;
  #ended: Error | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(engine: ModelEngine, readTokens: (input: Input) => Tokens) {
    this.#engine = engine;
    this.#readTokens = readTokens;
  }

  /** Runs the forward under the body; gives what the body returns. */
  async run<R>(input: Input | undefined, body: TraceBody<R>): Promise<R> {
    const main = this.#reader();
    if (input !== undefined) this.#rows.push({ tokens: this.#readTokens(input), reader: main });
    const result = this.#start(main, body);
    result.catch(() => {});
    // Bodies ask for their inputs (invoke) before they first wait.
    await new Promise((resolve) => setImmediate(resolve));
    this.#hasBegun = true;
    try {
      await this.#settled();
      if (!this.#readers.every(({ isDone }) => isDone)) await this.#forward();
    } catch (error) {
      if (!(error instanceof Stop)) this.#failure ??= { error };
    }
    this.#end(this.#failure?.error);
    try {
      const returned = await result;
      if (this.#failure !== undefined) throw this.#failure.error;
      this.#free(returned);
      return returned;
    } catch (error) {
      this.#free(undefined);
      throw error;
    }
  }

  #reader(): Reader {
    const reader = {
      requests: new Map(),
      replacements: new Map(),
      invoked: 0,
      isDone: false,
    };
    this.#readers.push(reader);
    return reader;
  }

  async #start<R>(reader: Reader, body: TraceBody<R>): Promise<R> {
    try {
      return await body(moduleTree(this.#access(reader)));
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    } finally {
      reader.isDone = true;
      this.#changed();
    }
  }

  #access(reader: Reader): TraceAccess {
    return {
      read: (path) => this.#request(reader, path),
      replace: (path, value) => this.#replace(reader, path, value),
      stop: () => {
        this.#ended ??= new MonosemError(
          'ERR_HOOK',
          'the trace was stopped: no module runs any more',
        );
      },
      save: (value) => {
        this.#saved.add(value);
        return value;
      },
      invoke: (input, body) => {
        const result = this.#invoke(reader, input, body);
        result.catch(() => {}); // Its failure is the trace's, whether it is awaited or not.
        return result;
      },
    };
  }

  async #invoke<R>(parent: Reader, input: Input, body: TraceBody<R>): Promise<R> {
    if (this.#hasBegun) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        'invoke comes before the first await of a trace: all inputs go through one forward',
      );
    }
    const reader = this.#reader();
    this.#rows.push({ tokens: this.#readTokens(input), reader });
    parent.invoked += 1;
    try {
      return await this.#start(reader, body);
    } finally {
      parent.invoked -= 1;
    }
  }

  async #forward(): Promise<void> {
    const tokens = this.#batch();
    const observe = (hooks: HookRun): Hooks => ({
      listens: (name) => hooks.listens(name) || this.#isWanted(name),
      edits: (name) => hooks.edits(name) || this.#isWanted(name),
      fire: async (name, value) => this.#visit(name, await hooks.fire(name, value)),
    });
    const logits = (await this.#engine.run(tokens, { observe })) as Tensor;
    this.#values.add(logits);
    await this.#visit(RESULT, logits);
  }

  /** Every input as one batch, padded on the left; each reader learns its rows. */
  #batch(): Tokens {
    const total = this.#rows.flatMap(({ tokens, reader }) =>
      realRows(tokens).map((ids) => ({ reader, ids })),
    );
    const only = this.#rows.length === 1 ? this.#rows[0] : undefined;
    if (only !== undefined) return only.tokens;
    if (total.length === 0) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        'a trace needs an input: pass one, or call invoke in its body',
      );
    }
    total.forEach(({ reader }, row) => {
      reader.rows = [reader.rows?.[0] ?? row, row + 1];
    });
    const main = this.#readers[0] as Reader;
    delete main.rows;
    return this.#readTokens(total.map(({ ids }) => [...ids]));
  }

  #isWanted(name: string): boolean {
    return this.#readers.some((r) => r.requests.has(name) || r.replacements.has(name));
  }

  /** The forward stands at a point: gives it to who asked, waits for them, takes what they put there. */
  async #visit(name: string, value: Tensor): Promise<Tensor> {
    this.#at = { name, order: this.#order(name) };
    let flowing = this.#takePut(value, name); // put there ahead
    while (this.#readers.some(({ requests }) => requests.has(name))) {
      for (const reader of this.#readers) {
        const asked = reader.requests.get(name) ?? [];
        reader.requests.delete(name);
        for (const { resolve } of asked) resolve(this.#view(flowing, reader));
      }
      await this.#settled();
      flowing = this.#takePut(flowing, name);
    }
    const isOver = this.#ended !== undefined || this.#readers.every(({ isDone }) => isDone);
    if (isOver || this.#failure !== undefined) throw new Stop();
    return flowing;
  }

  #takePut(value: Tensor, name: string): Tensor {
    let flowing = value;
    for (const reader of this.#readers) {
      const put = reader.replacements.get(name);
      reader.replacements.delete(name);
      if (put !== undefined) flowing = this.#put(flowing, put, reader, name);
    }
    return flowing;
  }

  /** Resolves when every body is done, waits for a module, or waits for those it invoked. */
  async #settled(): Promise<void> {
    const isBusy = ({ isDone, requests, invoked }: Reader) =>
      !isDone && requests.size === 0 && invoked === 0;
    while (this.#readers.some(isBusy) && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  #view(value: Tensor, { rows }: Reader): Tensor {
    const view = rows === undefined ? alias(value) : value.slice(rows);
    this.#values.add(view);
    return view;
  }

  #put(value: Tensor, put: Tensor, { rows }: Reader, name: string): Tensor {
    const wanted = rows === undefined ? value.shape : [rows[1] - rows[0], ...value.shape.slice(1)];
    if (put.shape.length !== wanted.length || put.shape.some((n, i) => n !== wanted[i])) {
      throw new MonosemError(
        'ERR_SHAPE',
        `what replaces ${name} must have its shape [${wanted}], got [${put.shape}]`,
      );
    }
    if (rows === undefined) return put;
    const whole = value.clone();
    this.#values.add(whole);
    using window = whole.slice(rows);
    window.copyFrom(put);
    return whole;
  }

  #pointOf(path: string): string {
    if (path === RESULT) return RESULT;
    const { points } = this.#engine;
    const name = points.resolve(path);
    if (name === undefined) throw unknownHook(path, points.names);
    const reason = points.cannotFire(name);
    if (reason === undefined) return name;
    throw new MonosemError('ERR_HOOK', `the module '${path}' cannot be read: ${reason}`);
  }

  #order(name: string): number {
    return name === RESULT ? Number.POSITIVE_INFINITY : this.#engine.points.order(name);
  }

  #checkOrder(path: string, name: string): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#at !== undefined && this.#order(name) < this.#at.order) {
      throw new MonosemError(
        'ERR_HOOK',
        `'${path}' (${name}) has run already: the forward stands at ${this.#at.name || "the model's output"}; read modules in the order in which they run`,
      );
    }
  }

  #request(reader: Reader, path: string): Promise<Tensor> {
    const name = this.#pointOf(path);
    this.#checkOrder(path, name);
    return new Promise((resolve, reject) => {
      const asked = reader.requests.get(name) ?? [];
      reader.requests.set(name, [...asked, { resolve, reject }]);
      this.#changed();
    });
  }

  #replace(reader: Reader, path: string, value: unknown): void {
    const name = this.#pointOf(path);
    if (!(value instanceof Tensor)) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `what replaces '${path}' is a Tensor, got ${typeof value}; await what makes it first`,
      );
    }
    this.#checkOrder(path, name);
    reader.replacements.set(name, value);
  }

  /** No module runs any more: who still waits for one learns it. */
  #end(cause: unknown): void {
    for (const { requests } of this.#readers) {
      for (const [name, asked] of requests) {
        const late = new MonosemError('ERR_HOOK', `'${name}' did not run before the trace ended`);
        for (const { reject } of asked) reject(cause ?? this.#ended ?? late);
      }
      requests.clear();
    }
    this.#ended ??= new MonosemError('ERR_HOOK', 'the trace has ended: no module runs any more');
  }

  /** Frees what was read, but what is returned or saved. */
  #free(returned: unknown): void {
    const kept = reachable([returned, ...this.#saved], this.#values);
    for (const value of this.#values) if (!kept.has(value)) value.dispose();
    this.#values.clear();
  }
}
