/**
 * The addon's whole surface as types, and finding it. Nothing outside this file touches the binary.
 *
 * Every operation checks its arguments natively, allocates its result, queues a command on the
 * device's stream and returns: the event loop never computes. Only what returns a promise (or ends in
 * `Sync`) waits. Operation codes mirror the enums of cpp/core/backend.h.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, MonosemError } from './error.js';

export type DType = 'float32' | 'float16' | 'bfloat16';
export type StorageType = DType | 'int32';
export type TypedArray = Float32Array | Float64Array | Uint16Array | Int32Array | BigInt64Array;

export const Unary = {
  neg: 0,
  abs: 1,
  sqrt: 2,
  exp: 3,
  log: 4,
  relu: 5,
  pow: 6,
  gelu: 7,
  geluTanh: 8,
  silu: 9,
  tanh: 10,
  softcap: 11,
} as const;
export const Binary = { add: 0, sub: 1, mul: 2, div: 3, gt: 4, lt: 5, eq: 6 } as const;
export const Reduce = { sum: 0, mean: 1, max: 2, norm: 3, argmax: 4 } as const;
export const Norm = { layer: 0, rms: 1 } as const;
export const Intervention = { zero: 0, set: 1, add: 2, scale: 3, keep: 4 } as const;
export const Normalize = {
  none: 0,
  constant_norm_rescale: 1,
  layer_norm: 2,
  constant_scalar_rescale: 3,
} as const;
export const PrecisionCode = { strict: 0, certified: 1, fast: 2, float32: 3 } as const;

/** A strided window on device memory. */
export interface NativeTensor {
  readonly shape: number[];
  readonly dtype: StorageType;
  readonly device: string;
  /** How many operations have written into its memory since it was made, through this tensor or any that shares it. */
  readonly writes: number;
  dispose(): void;
}

/** Sparse activations: CSR over tokens. Filled when its command runs. */
export interface NativeActs {
  readonly tokens: number;
  readonly dSae: number;
  readonly device: string;
  dispose(): void;
}

/** The prepared weights of one SAE on one device. */
export interface NativePlan {
  /** What the last finished encode did. */
  stats(): {
    path: string;
    candidates: number;
    active: number;
    ambiguous: number;
    errorToMargin: number;
    tokens: number;
  };
  /** Bytes of the prepared forms in memory; 0 for those not built, released, or of another backend. */
  forms(): {
    float32PanelsBytes: number;
    screenBytes: number;
    rowsBytes: number;
    float16PlanesBytes: number;
  };
  dispose(): void;
}

/** Ends the commands that were queued with it. */
export interface NativeCancel {
  cancel(): void;
}

export interface NativeDeviceInfo {
  readonly device: string;
  readonly name: string;
  readonly memory: number;
  readonly usable: boolean;
  readonly detail: Record<string, string | number | boolean>;
}

export interface Csr {
  readonly rowOffsets: Uint32Array;
  readonly indices: Uint32Array;
  readonly values: Float32Array;
}

type T = NativeTensor;
type Optional = NativeTensor | null;

export interface Native {
  init(error: new (code: ErrorCode, message: string) => MonosemError): void;

  // devices
  devices(): NativeDeviceInfo[];
  /** Why CUDA cannot be used, or "" when it can. */
  cudaReason(): string;
  /** Resolves when everything queued by this thread so far has run; rejects with its first error. */
  fence(device: string): Promise<void>;
  memory(device: string): { inUse: number; cached: number };
  trim(device: string): void;
  cancel(): NativeCancel;

  // making tensors and reading them
  /** `source` is what the bytes are: 'float32' 'float64' 'int32' 'int64' 'float16' 'bfloat16'. */
  fromHost(
    data: TypedArray,
    source: string,
    shape: readonly number[],
    dtype: StorageType,
    device: string,
  ): T;
  full(shape: readonly number[], value: number, dtype: StorageType, device: string): T;
  randn(shape: readonly number[], seed: number, dtype: StorageType, device: string): T;
  read(t: T): Promise<Float32Array | Uint16Array | Int32Array>;
  readSync(t: T): Float32Array | Uint16Array | Int32Array;

  // views (no copy, but for a reshape that strides cannot express)
  slice(t: T, starts: readonly number[], ends: readonly number[], drop: readonly boolean[]): T;
  reshape(t: T, shape: readonly number[]): T;
  transpose(t: T, dim0: number, dim1: number): T;
  /** Another handle on the same memory. */
  alias(t: T): T;

  // tensor operations
  /** A contiguous copy, of another dtype or on another device when they differ. */
  to(t: T, dtype: StorageType, device: string): T;
  unary(op: number, t: T, parameter: number): T;
  binary(op: number, a: T, b: T): T;
  binaryScalar(op: number, a: T, b: number): T;
  /** a = a op b, in place; b broadcasts to a. */
  binaryInto(op: number, a: T, b: T): void;
  binaryScalarInto(op: number, a: T, b: number): void;
  copyInto(dst: T, src: T): void;
  fill(t: T, value: number): void;
  /** dim null: over everything, a rank 0 result. argmax gives int32. */
  reduce(op: number, t: T, dim: number | null): T;
  softmax(t: T, dim: number, logarithm: boolean): T;
  topk(t: T, k: number, dim: number): [values: T, indices: T];
  matmul(a: T, b: T): T;
  /** src [rows, ...], rows int32 [...]: dst[i..., :] = src[rows[i...], :]. */
  gatherRows(src: T, rows: T): T;
  /** src [..., n], columns int32 [..., m] of the same leading shape: [..., m]. */
  gather(src: T, columns: T): T;
  scatterAddInto(dst: T, columns: T, src: T): void;

  // the transformer
  /** x [..., k] @ w [k, n] + bias [n], then `activation` (a Unary code, -1: none). */
  linear(x: T, w: T, bias: Optional, activation: number): T;
  norm(
    x: T,
    weight: Optional,
    bias: Optional,
    kind: number,
    eps: number,
    weightOffset: number,
    wantStatistics: boolean,
  ): [out: T, scale: Optional, normalized: Optional];
  /** x [b, p, n, d_head], tables [positions, half], positions int32 [b, p]. */
  rope(x: T, cos: T, sin: T, positions: T): T;
  /** q [b, p, n, d_head], k and v [b, s, n_kv, d_head], mask int32 [b, s]: z [b, p, n, d_head]. */
  attention(q: T, k: T, v: T, mask: Optional, scale: number, softcap: number, window: number): T;
  /** The same scores before softmax: [b, n, p, s] float32, masked places -inf. */
  attentionScores(q: T, k: T, mask: Optional, scale: number, softcap: number, window: number): T;

  // sparse activations
  actsFromDense(dense: T): NativeActs;
  actsDense(acts: NativeActs): T;
  /** Non-zeros per token: float32 [tokens]. */
  actsCount(acts: NativeActs): T;
  actsRows(acts: NativeActs, rows: Float64Array): NativeActs;
  /** Features ascending and distinct. */
  actsIntervene(
    acts: NativeActs,
    intervention: number,
    features: Uint32Array,
    value: number,
  ): NativeActs;
  actsTo(acts: NativeActs, device: string): NativeActs;
  readCsr(acts: NativeActs): Promise<Csr>;

  // the SAE (see monosem_sae_encoder and monosem_decode in backend.h)
  saePlan(
    W_enc: T,
    gateBias: T,
    theta: Optional,
    scale: Optional,
    bias: T,
    center: Optional,
    k: number,
  ): NativePlan;
  /** x [tokens, d_in]: normalised and centred float32 [tokens, d_in], statistics [tokens, 2]. */
  saeInput(
    x: T,
    normalize: number,
    factor: number,
    b_dec: Optional,
  ): [input: T, statistics: Optional];
  saeEncode(plan: NativePlan, input: T, precision: number, cancel: NativeCancel | null): NativeActs;
  saeDecode(
    acts: NativeActs,
    W_dec: T,
    rowScale: Optional,
    b_dec: Optional,
    normalize: number,
    statistics: Optional,
    factor: number,
    x: Optional,
    wantRecons: boolean,
  ): [out: T, recons: Optional, error: Optional];

  // files (cpp/io)
  /** Maps the file and checks all it says about itself; no tensor is read. */
  openTensorFile(path: string, kind: 'safetensors' | 'npz' | 'torch'): NativeTensorFile;
  /**
   * A tensor of the file, on another thread. It aliases the file (privately: writing to it does not
   * reach the disk) where it lies there as it is wanted, else it is read and converted. dtype null: the
   * file's, float64 as float32 and other integers as int32. `transposed` is for matrices; `resident`
   * reads rather than aliases.
   */
  loadTensor(
    file: NativeTensorFile,
    name: string,
    dtype: StorageType | null,
    device: string,
    transposed: boolean,
    resident: boolean,
  ): Promise<T>;
  /** Appears under its path only when it is whole. */
  writeSafetensors(path: string, names: readonly string[], tensors: readonly T[]): Promise<void>;
}

/** A mapped weights file. */
export interface NativeTensorFile {
  /** `dtype` is the file's: "float64", "int64", "bool", ... beside those a Tensor can have. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  readonly metadata: readonly (readonly [key: string, value: string])[];
  dispose(): void;
}

const root = fileURLToPath(new URL('..', import.meta.url));

function load(): Native {
  try {
    return (createRequire(import.meta.url)('node-gyp-build') as (directory: string) => Native)(
      root,
    );
  } catch (cause) {
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      `monosem's native addon could not be loaded for ${process.platform}-${process.arch}. ` +
        'Build it with `npm rebuild monosem` (needs CMake 3.24 or newer and a C++20 compiler; on Debian and ' +
        `Ubuntu: apt-get install cmake g++). ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
      { cause },
    );
  }
}

/**
 * An error of a native thread has no JavaScript stack. Made anew in an async function it has that of
 * whoever awaits.
 */
async function withStack<R>(promise: Promise<R>): Promise<R> {
  try {
    return await promise;
  } catch (error) {
    throw error instanceof MonosemError ? new MonosemError(error.code, error.message) : error;
  }
}

const addon = load();
addon.init(MonosemError);

export const native: Native = {
  ...addon,
  fence: (device) => withStack(addon.fence(device)),
  read: (t) => withStack(addon.read(t)),
  readCsr: (acts) => withStack(addon.readCsr(acts)),
  loadTensor: (...args) => withStack(addon.loadTensor(...args)),
  writeSafetensors: (...args) => withStack(addon.writeSafetensors(...args)),
};
