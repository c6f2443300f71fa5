import type { Tensor } from '../tensor.js';
import type { Input } from './input.js';

/** A module of the tree: `layers[12]`, `self_attn.o_proj`, ... */
export interface TraceModule {
  /**
   * Awaiting it parks the body until the module has run; `[0]` is the same (modules that returned
   * tuples). Assigning replaces it.
   */
  output: (Promise<Tensor> & { readonly 0: Promise<Tensor> }) | Tensor;
  input: Promise<Tensor>;
  // biome-ignore lint/suspicious/noExplicitAny: modules are named by the model's family
  readonly [child: string]: any;
  readonly [index: number]: TraceModule;
}

/** The root of the tree a trace's body gets. */
export interface Trace {
  /** Ends the forward here; what was read stays. */
  readonly stop: () => void;
  /** Keeps a tensor alive past the trace without returning it. */
  readonly save: <T>(value: T) => T;
  /** Another input in the same batch, with a body that sees its rows. Before the first await. */
  readonly invoke: <R>(input: Input, body: (t: Trace) => Promise<R> | R) => Promise<R>;
  // biome-ignore lint/suspicious/noExplicitAny: modules are named by the model's family
  readonly [module: string]: any;
}

/** What the tree does when it is read and written. */
export interface TraceAccess {
  read(path: string): Promise<Tensor>;
  replace(path: string, value: unknown): void;
  stop(): void;
  save<T>(value: T): T;
  invoke<R>(input: Input, body: (t: Trace) => Promise<R> | R): Promise<R>;
}

/** A value of the forward that is read when it is awaited, and replaced by assigning `[0]`. */
class Awaited implements Promise<Tensor> {
  readonly [Symbol.toStringTag] = 'Promise';
  readonly #access: TraceAccess;
  readonly #path: string;
  #promise: Promise<Tensor> | undefined;

  constructor(access: TraceAccess, path: string) {
    this.#access = access;
    this.#path = path;
  }

  get #read(): Promise<Tensor> {
    this.#promise ??= (async () => this.#access.read(this.#path))();
    return this.#promise;
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting is what reads
  then<A = Tensor, B = never>(
    onRead?: ((value: Tensor) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#read.then(onRead, onError);
  }
  catch<B = never>(
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<Tensor | B> {
    return this.#read.catch(onError);
  }
  finally(onEnd?: (() => void) | null): Promise<Tensor> {
    return this.#read.finally(onEnd);
  }

  get 0(): Promise<Tensor> {
    return this;
  }
  set 0(value: unknown) {
    this.#access.replace(this.#path, value);
  }
  /** `t.output.logits`: what the model returns. */
  get logits(): Promise<Tensor> {
    return this;
  }
}

/** The module tree: any path can be spelled, `output` and `input` find out whether it exists. */
export function moduleTree(access: TraceAccess): Trace {
  const root = {
    stop: () => access.stop(),
    save: <T>(value: T) => access.save(value),
    invoke: access.invoke,
  };
  return new Proxy(root, {
    get(target, key) {
      if (typeof key === 'symbol' || key === 'then') return undefined;
      if (Object.hasOwn(target, key)) return target[key as keyof typeof target];
      return key === 'output' ? new Awaited(access, '') : module(access, key);
    },
  }) as Trace;
}

function module(access: TraceAccess, path: string): TraceModule {
  return new Proxy({} as TraceModule, {
    get(_target, key) {
      if (typeof key === 'symbol' || key === 'then') return undefined;
      const inner = `${path}.${key}`;
      return key === 'output' || key === 'input'
        ? new Awaited(access, inner)
        : module(access, inner);
    },
    set(_target, key, value) {
      access.replace(`${path}.${String(key)}`, value);
      return true;
    },
  });
}
