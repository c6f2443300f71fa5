// biome-ignore-all lint/suspicious/noExplicitAny: trace() mirrors module trees of any shape
// biome-ignore-all lint/suspicious/noConfusingVoidType: a hook without a return is the usual one
/**
 * The public contract: names, arguments and results that programs rely on, as declarations without an
 * implementation. The package's own types may say more, and accept every program that type-checks against
 * these; contract.test-d.ts and contract.test.ts hold them to it.
 */
// ---------------------------------------------------------------- devices, errors
export type Device = 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
export type DType = 'float32' | 'float16' | 'bfloat16';

export interface DeviceInfo {
  readonly device: Device;
  readonly name: string;
  readonly memory: number;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}
/** What this machine offers, and why CUDA is missing where it is ("no driver", "driver 12.4 is older than …", "not built", …). */
export declare const devices: {
  list(): readonly DeviceInfo[];
  cuda: { isAvailable(): boolean; reason(): string | undefined };
};

export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_DEVICE'
  | 'ERR_DISPOSED'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_ABORTED'
  | 'ERR_NOT_FOUND'
  | 'ERR_GATED'
  | 'ERR_OFFLINE'
  | 'ERR_NETWORK'
  | 'ERR_INTEGRITY'
  | 'ERR_FORMAT'
  | 'ERR_UNSAFE_PICKLE'
  | 'ERR_UNSUPPORTED'
  | 'ERR_HOOK'
  | 'ERR_TOKENIZER'
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_INTERNAL';
/** Every error the package throws on purpose. The message says what was expected, what was given, and what to do. */
export declare class MonosemError extends Error {
  readonly code: ErrorCode;
}

// ---------------------------------------------------------------- tensors
export type TypedArray = Float32Array | Float64Array | Uint16Array | Int32Array | BigInt64Array;
/** A tensor of ours, of onnxruntime/transformers.js (`dims`), or anything with data and a shape. */
export type TensorLike =
  | Tensor
  | { readonly data: TypedArray; readonly dims: readonly number[]; readonly type?: string }
  | { readonly data: TypedArray; readonly shape: readonly number[]; readonly dtype?: DType };
export type NestedArray = number | NestedArray[];
/** One index per dimension: a number picks (and drops the dimension), null keeps all, [start, end] cuts. Negatives count from the end. */
export type Index = number | null | readonly [start?: number | null, end?: number | null];

export declare class Tensor implements Disposable {
  static from(
    data: TypedArray | readonly number[] | NestedArray,
    shape?: readonly number[],
    options?: { dtype?: DType; device?: Device },
  ): Tensor;
  static zeros(shape: readonly number[], options?: { dtype?: DType; device?: Device }): Tensor;
  static ones(shape: readonly number[], options?: { dtype?: DType; device?: Device }): Tensor;
  static randn(
    shape: readonly number[],
    options?: { seed?: number; dtype?: DType; device?: Device },
  ): Tensor;
  static zerosLike(t: Tensor): Tensor;
  readonly shape: readonly number[];
  readonly size: number;
  readonly dtype: DType | 'int32';
  readonly device: Device;
  // reading back
  data(): Promise<Float32Array | Uint16Array | Int32Array>;
  dataSync(): Float32Array | Uint16Array | Int32Array;
  item(): Promise<number>;
  toArray(): Promise<NestedArray>;
  // shape; slice and at are views: an in-place method on them writes through
  slice(...index: Index[]): Tensor;
  at(...index: number[]): Tensor;
  reshape(shape: readonly number[]): Tensor;
  transpose(dim0: number, dim1: number): Tensor;
  // arithmetic (broadcasting); new tensors
  add(o: TensorLike | number): Tensor;
  sub(o: TensorLike | number): Tensor;
  mul(o: TensorLike | number): Tensor;
  div(o: TensorLike | number): Tensor;
  pow(exponent: number): Tensor;
  sqrt(): Tensor;
  abs(): Tensor;
  neg(): Tensor;
  exp(): Tensor;
  log(): Tensor;
  relu(): Tensor;
  gt(o: TensorLike | number): Tensor;
  lt(o: TensorLike | number): Tensor;
  eq(o: TensorLike | number): Tensor;
  sum(dim?: number): Tensor;
  mean(dim?: number): Tensor;
  max(dim?: number): Tensor;
  norm(dim?: number): Tensor;
  argmax(dim?: number): Tensor;
  softmax(dim?: number): Tensor;
  logSoftmax(dim?: number): Tensor;
  matmul(o: TensorLike): Tensor;
  topk(k: number, dim?: number): { readonly values: Tensor; readonly indices: Tensor };
  clone(): Tensor;
  to(options: { device?: Device; dtype?: DType }): Tensor;
  // in place, chainable
  fill(value: number): this;
  copyFrom(o: TensorLike): this;
  addInPlace(o: TensorLike | number): this;
  mulInPlace(o: TensorLike | number): this;
  dispose(): void;
  [Symbol.dispose](): void;
}
/** Frees every tensor made inside, but what is returned. */
export function scope<R>(body: () => R): R;

// ---------------------------------------------------------------- feature activations: sparse
export interface FeatureHit {
  readonly feature: number;
  readonly value: number;
}
/** One token's active features, on the host, strongest first. */
export interface FeatureRow extends Iterable<FeatureHit> {
  readonly length: number;
  get(feature: number): number;
  topk(k: number): FeatureHit[];
}
export interface FeatureRows extends Iterable<FeatureRow> {
  at(...index: number[]): FeatureRow;
}

/** Sparse [..., d_sae] activations: per token, the active features and their values. Reads like the dense tensor it stands for. */
export declare class FeatureActs implements Disposable {
  static from(dense: TensorLike): FeatureActs;
  readonly shape: readonly number[];
  readonly device: Device;
  nnz(): Promise<number>;
  l0(): Tensor; // [...], active features per token
  gt(value: number): Tensor; // dense 0/1 of shape [..., d_sae]
  slice(...index: Index[]): FeatureActs;
  dense(): Tensor;
  rows(): Promise<FeatureRows>;
  csr(): Promise<{
    readonly rowOffsets: Uint32Array;
    readonly indices: Uint32Array;
    readonly values: Float32Array;
  }>;
  topk(k: number): Promise<FeatureHit[][]>; // per token, in row order
  // interventions, in place, chainable; a feature list is allowed wherever one feature is
  zero(feature: number | readonly number[]): this;
  set(feature: number | readonly number[], value: number): this;
  add(feature: number | readonly number[], value: number): this;
  scale(feature: number | readonly number[], by: number): this;
  keep(features: readonly number[]): this;
  clone(): FeatureActs;
  dispose(): void;
  [Symbol.dispose](): void;
}

// ---------------------------------------------------------------- SAEs
export interface Progress {
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}
export interface LoadOptions {
  device?: Device;
  dtype?: DType;
  revision?: string;
  token?: string;
  cacheDir?: string;
  endpoint?: string;
  offline?: boolean;
  forceDownload?: boolean;
  onProgress?: (p: Progress) => void;
  signal?: AbortSignal;
}
/** How a repository is read: the registry decides for its releases; name one for any other repository (SAELens' `converter`). */
export type LoaderName =
  | 'sae_lens'
  | 'gemma_2'
  | 'gemma_3'
  | 'gemma_2_transcoder'
  | 'llama_scope'
  | 'llama_scope_r1_distill'
  | 'dictionary_learning_1'
  | 'connor_rob_hook_z'
  | 'deepseek_r1'
  | 'goodfire'
  | 'sparsify'
  | 'mwhanna_transcoder'
  | 'mntss_clt_layer_transcoder'
  | 'temporal'
  | 'qwen_scope';
export interface SaeLoadOptions extends LoadOptions {
  loader?: LoaderName;
  cfgOverrides?: Readonly<Record<string, unknown>>;
  foldWDecNorm?: boolean;
  precision?: Precision;
}
/** How the encoder works: "strict" (default) gives fp32's active set and values, "certified" fp32's set, "fast" the 16-bit screen alone, "float32" no screen. */
export type Precision = 'strict' | 'certified' | 'fast' | 'float32';
export type Release = string & {};

export interface SAEMetadata {
  readonly modelName?: string;
  readonly hookName?: string;
  readonly hookNameOut?: string;
  readonly hfHookName?: string;
  readonly hfHookNameOut?: string;
  readonly hookHeadIndex?: number | null;
  readonly contextSize?: number;
  readonly prependBos?: boolean;
  readonly neuronpediaId?: string | null;
  readonly datasetPath?: string;
  readonly modelFromPretrainedKwargs?: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}
export interface SAEConfig {
  readonly architecture: string;
  readonly dIn: number;
  readonly dSae: number;
  readonly dOut?: number;
  readonly dtype: DType;
  readonly device: Device;
  readonly applyBDecToInput: boolean;
  readonly normalizeActivations: string;
  readonly reshapeActivations: 'none' | 'hook_z';
  readonly k?: number;
  readonly metadata: SAEMetadata;
  /** cfg.json as it was read, for round trips. */
  readonly raw: Readonly<Record<string, unknown>>;
}
export type SaeHook =
  | 'hook_sae_input'
  | 'hook_sae_acts_pre'
  | 'hook_sae_acts_post'
  | 'hook_sae_recons'
  | 'hook_sae_error'
  | 'hook_sae_output';

export declare class SAE implements Disposable {
  static fromPretrained(release: Release, saeId: string, options?: SaeLoadOptions): Promise<SAE>;
  static fromPretrainedWithCfgAndSparsity(
    release: Release,
    saeId: string,
    options?: SaeLoadOptions,
  ): Promise<{ sae: SAE; cfgDict: Record<string, unknown>; logSparsity: Tensor | undefined }>;
  static loadFromDisk(
    path: string,
    options?: Pick<
      SaeLoadOptions,
      'device' | 'dtype' | 'loader' | 'cfgOverrides' | 'foldWDecNorm' | 'precision'
    >,
  ): Promise<SAE>;
  /** One decoder row of a published SAE, [d_in], by ranged reads: the weights are not downloaded. */
  static fetchDecoderRow(
    release: Release,
    saeId: string,
    feature: number,
    options?: SaeLoadOptions,
  ): Promise<Float32Array>;
  saveModel(path: string): Promise<{ weightsPath: string; cfgPath: string }>;
  readonly cfg: SAEConfig;
  readonly device: Device;
  readonly dtype: DType;
  useErrorTerm: boolean;
  readonly W_enc: Tensor;
  readonly W_dec: Tensor;
  readonly b_dec: Tensor;
  readonly b_enc?: Tensor | undefined;
  readonly threshold?: Tensor | undefined;
  readonly W_skip?: Tensor | undefined;
  encode(
    x: TensorLike,
    options?: { signal?: AbortSignal; precision?: Precision },
  ): Promise<FeatureActs>;
  decode(acts: FeatureActs | TensorLike): Promise<Tensor>;
  forward(x: TensorLike): Promise<Tensor>;
  runWithCache(x: TensorLike): Promise<{ output: Tensor; cache: ActivationCache }>;
  runWithHooks(x: TensorLike, options: { fwdHooks: readonly FwdHook[] }): Promise<Tensor>;
  /** What the last encode did: path taken, candidates per L0, share refined, largest error over margin. */
  stats(): Readonly<Record<string, number | string>>;
  to(options: { device?: Device; dtype?: DType }): SAE;
  foldWDecNorm(): void;
  foldActivationNormScalingFactor(factor: number): void;
  /** `${hook point}.hook_sae_…`, the full name under which the point appears once attached. */
  hookName(point: SaeHook): string;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** The bundled registry of published SAEs. */
export interface RegistryEntry {
  readonly release: string;
  readonly saeId: string;
  readonly repoId: string;
  readonly path: string;
  readonly loader: string;
  readonly model: string;
  readonly l0?: number;
  readonly neuronpediaId?: string;
}
export declare const registry: {
  releases(): readonly {
    readonly release: string;
    readonly repoId: string;
    readonly model: string;
    readonly loader: string;
    readonly saes: number;
  }[];
  saes(release: string): readonly RegistryEntry[];
  find(release: string, saeId: string): RegistryEntry | undefined;
  search(query: { model?: string; hookName?: string; text?: string }): readonly RegistryEntry[];
};

// ---------------------------------------------------------------- hooked models
export interface HookPoint {
  readonly name: string;
  readonly layer?: number;
}
export type Hook<T> = (act: T, hook: HookPoint) => T | void | Promise<T | void>;
export type SaeActsHook = `${string}hook_sae_acts_post`;
export type FwdHook =
  | readonly [name: SaeActsHook, hook: Hook<FeatureActs>]
  | readonly [name: string, hook: Hook<Tensor>]
  | readonly [match: (name: string) => boolean, hook: Hook<Tensor | FeatureActs>];
export declare class ActivationCache
  implements Disposable, Iterable<[string, Tensor | FeatureActs]>
{
  get(name: SaeActsHook): FeatureActs;
  get(name: string): Tensor;
  /** Short form: get("resid_post", 5), get("pattern", 0), get("scale", 4, "ln1"). */
  get(name: string, layer: number, layerType?: string): Tensor;
  has(name: string): boolean;
  keys(): readonly string[];
  readonly size: number;
  [Symbol.iterator](): Iterator<[string, Tensor | FeatureActs]>;
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Token ids with the mask of real tokens. */
export interface Tokens {
  readonly ids: Int32Array;
  readonly shape: readonly [batch: number, pos: number];
  readonly mask?: Uint8Array;
}
export type Input =
  | string
  | readonly string[]
  | Tokens
  | readonly number[]
  | readonly (readonly number[])[];
export interface ForwardOptions {
  prependBos?: boolean;
  returnType?: 'logits' | 'loss' | null;
  startAtLayer?: number;
  stopAtLayer?: number;
  signal?: AbortSignal;
}
export interface CacheOptions extends ForwardOptions {
  namesFilter?: string | readonly string[] | ((name: string) => boolean);
}
export interface SaesOptions {
  saes: SAE | readonly SAE[];
  useErrorTerm?: boolean;
  excludeSpecialTokens?: boolean | readonly number[];
  resetSaesEnd?: boolean;
}
export interface GenerateOptions extends Partial<SaesOptions> {
  maxNewTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  seed?: number;
  stopAtEos?: boolean;
  prependBos?: boolean;
  fwdHooks?: readonly FwdHook[];
  signal?: AbortSignal;
}

export declare class HookedTransformer implements AsyncDisposable {
  static fromPretrained(
    name: string,
    options?: LoadOptions & {
      foldLn?: boolean;
      centerWritingWeights?: boolean;
      centerUnembed?: boolean;
    },
  ): Promise<HookedTransformer>;
  /** Raw weights, as SAEs were trained on. A Hugging Face id, a TransformerLens alias ("gpt2-small"), or a local folder. */
  static fromPretrainedNoProcessing(
    name: string,
    options?: LoadOptions & Record<string, unknown>,
  ): Promise<HookedTransformer>;
  readonly cfg: Readonly<Record<string, unknown>> & {
    readonly nLayers: number;
    readonly dModel: number;
    readonly nHeads: number;
    readonly dHead: number;
    readonly dMlp: number;
    readonly dVocab: number;
    readonly nCtx: number;
    readonly modelName: string;
  };
  readonly device: Device;
  readonly tokenizer: {
    encode(text: string, options?: { addSpecialTokens?: boolean }): Int32Array;
    decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  };
  readonly hookNames: readonly string[];
  toTokens(text: string | readonly string[], options?: { prependBos?: boolean }): Tokens;
  /** TransformerLens' to_string, under a name that does not shadow Object's. */
  toText(tokens: Tokens | ArrayLike<number>): string;
  toStrTokens(input: string | ArrayLike<number>, options?: { prependBos?: boolean }): string[];
  toSingleToken(text: string): number;
  forward(input: Input | Tensor, options?: ForwardOptions): Promise<Tensor>;
  runWithCache(
    input: Input,
    options?: CacheOptions,
  ): Promise<{ logits: Tensor; cache: ActivationCache; tokens: Tokens }>;
  runWithHooks(
    input: Input,
    options: ForwardOptions & { fwdHooks: readonly FwdHook[] },
  ): Promise<Tensor>;
  addHook(
    name: string | ((name: string) => boolean),
    hook: Hook<Tensor>,
  ): Disposable & { remove(): void };
  resetHooks(): void;
  /** Hugging Face module paths ("model.layers.12", "layers.12", "transformer.h.5") name the same points. */
  registerForwardHook(modulePath: string, hook: Hook<Tensor>): Disposable & { remove(): void };
  generate(input: Input, options?: GenerateOptions): Promise<{ text: string; tokens: Tokens }>;
  generateStream(
    input: Input,
    options?: GenerateOptions,
  ): AsyncIterable<{ readonly token: number; readonly text: string }>;
  /** nnsight-style: `t` mirrors the module tree; awaiting an output parks until that module has run; assigning replaces it. */
  trace<R>(input: Input, body: (t: Trace) => Promise<R> | R): Promise<R>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
export interface TraceModule {
  output: (Promise<Tensor> & { readonly 0: Promise<Tensor> }) | Tensor;
  readonly input: Promise<Tensor>;
  readonly [child: string]: any;
  readonly [index: number]: TraceModule;
}
export interface Trace extends Record<string, any> {
  readonly stop: () => void;
}

export declare class HookedSAETransformer extends HookedTransformer {
  static fromPretrained(
    name: string,
    options?: LoadOptions & Record<string, unknown>,
  ): Promise<HookedSAETransformer>;
  static fromPretrainedNoProcessing(
    name: string,
    options?: LoadOptions & Record<string, unknown>,
  ): Promise<HookedSAETransformer>;
  readonly actsToSaes: ReadonlyMap<string, SAE>;
  addSae(
    sae: SAE,
    options?: { useErrorTerm?: boolean; excludeSpecialTokens?: boolean | readonly number[] },
  ): Disposable;
  resetSaes(options?: { actNames?: string | readonly string[] }): void;
  /** `using _ = model.saes([sae])`: attached until the block ends, what was attached before comes back. */
  saes(saes: SAE | readonly SAE[], options?: { useErrorTerm?: boolean }): Disposable;
  withSaes<R>(
    saes: SAE | readonly SAE[],
    body: (model: this) => Promise<R>,
    options?: { useErrorTerm?: boolean },
  ): Promise<R>;
  runWithSaes(input: Input, options: ForwardOptions & SaesOptions): Promise<Tensor>;
  runWithCacheWithSaes(
    input: Input,
    options: CacheOptions & SaesOptions,
  ): Promise<{ logits: Tensor; cache: ActivationCache; tokens: Tokens }>;
  runWithHooksWithSaes(
    input: Input,
    options: ForwardOptions & SaesOptions & { fwdHooks: readonly FwdHook[] },
  ): Promise<Tensor>;
}
/** The same engine under the names of TransformerLens 3's TransformerBridge: canonical hook names, Gemma 3 and every other family. */
export declare class SAETransformerBridge extends HookedSAETransformer {
  static bootTransformers(name: string, options?: LoadOptions): Promise<SAETransformerBridge>;
}
/** A model under its Hugging Face names, no SAE in sight. */
export declare const AutoModel: {
  fromPretrained(name: string, options?: LoadOptions): Promise<HookedTransformer>;
};
export declare const AutoModelForCausalLM: {
  fromPretrained(name: string, options?: LoadOptions): Promise<HookedTransformer>;
};
export declare const LanguageModel: {
  fromPretrained(name: string, options?: LoadOptions): Promise<HookedTransformer>;
};
