import { type Device, resolveDevice } from './device.js';
import { MonosemError } from './error.js';
import { flatten, type NestedArray, storage } from './host_data.js';
import { type Index, range } from './indexing.js';
import { inspectAs } from './inspect.js';
import {
  Binary,
  type DType,
  type NativeTensor,
  native,
  Reduce,
  type StorageType,
  type TypedArray,
  Unary,
} from './native.js';
import { track } from './scope.js';

export type { DType, Index, NestedArray, StorageType, TypedArray };

/** A tensor of ours, of onnxruntime or transformers.js (`dims`), or anything with data and a shape. */
export type TensorLike =
  | Tensor
  | { readonly data: TypedArray; readonly dims: readonly number[]; readonly type?: string }
  | { readonly data: TypedArray; readonly shape: readonly number[]; readonly dtype?: DType };

interface TensorOptions {
  dtype?: DType;
  device?: Device;
}

/**
 * An n-dimensional array on a device. Arithmetic is queued and returns at once; only reading numbers
 * back waits. Storage is float32, float16, bfloat16 or int32; arithmetic is float32.
 *
 * `slice` and `at` are views: an in-place method on them writes through. Every method throws
 * ERR_DISPOSED after `dispose`, ERR_SHAPE, ERR_DTYPE or ERR_DEVICE for operands that do not fit.
 */
export class Tensor implements Disposable {
  readonly #handle: NativeTensor;
  #shape: readonly number[] | undefined;
  #dtype: StorageType | undefined;
  #device: Device | undefined;

  /** @internal Use the static makers. */
  constructor(handle: NativeTensor) {
    this.#handle = handle;
    track(this);
  }

  /** @internal */
  get handle(): NativeTensor {
    return this.#handle;
  }

  /**
   * A tensor of these numbers. A typed array keeps its precision unless `dtype` says otherwise
   * (Uint16Array: float16 bits unless dtype is bfloat16; int arrays: int32); nested arrays give float32.
   */
  static from(
    data: TypedArray | readonly number[] | NestedArray,
    shape?: readonly number[],
    options: TensorOptions = {},
  ): Tensor {
    if (ArrayBuffer.isView(data)) {
      return fromTyped(data as TypedArray, shape ?? [data.length], undefined, options);
    }
    const { values, shape: found } = flatten(data as NestedArray);
    return fromTyped(values, shape ?? found, undefined, options);
  }

  static zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return full(shape, 0, options);
  }

  static ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return full(shape, 1, options);
  }

  /** Standard normal numbers, the same for the same seed on every device. */
  static randn(shape: readonly number[], options: TensorOptions & { seed?: number } = {}): Tensor {
    const seed = options.seed ?? Math.floor(Math.random() * 2 ** 32);
    return new Tensor(
      native.randn(shape, seed, options.dtype ?? 'float32', resolveDevice(options.device)),
    );
  }

  static zerosLike(t: Tensor): Tensor {
    return new Tensor(native.full(t.shape, 0, t.dtype, t.device));
  }

  get shape(): readonly number[] {
    this.#shape ??= Object.freeze(this.#handle.shape);
    return this.#shape;
  }

  get dtype(): StorageType {
    this.#dtype ??= this.#handle.dtype;
    return this.#dtype;
  }

  get device(): Device {
    this.#device ??= this.#handle.device as Device;
    return this.#device;
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, length) => product * length, 1);
  }

  /** The numbers, row-major; float16 and bfloat16 as their bits. Resolves when they are there. */
  data(): Promise<Float32Array | Uint16Array | Int32Array> {
    return native.read(this.#handle);
  }

  /** As `data`, blocking the event loop. For scripts. */
  dataSync(): Float32Array | Uint16Array | Int32Array {
    return native.readSync(this.#handle);
  }

  /** The one number of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw new MonosemError(
        'ERR_SHAPE',
        `item() expects a tensor of one element, this one is [${this.shape}]; pick one with at()`,
      );
    }
    return (await this.#numbers())[0] as number;
  }

  /** Nested arrays of numbers; a rank 0 tensor gives the number itself. */
  async toArray(): Promise<NestedArray> {
    const shape = this.shape;
    const numbers = await this.#numbers();
    let offset = 0;
    const nest = (dim: number): NestedArray => {
      if (dim === shape.length) return numbers[offset++] as number;
      return Array.from({ length: shape[dim] as number }, () => nest(dim + 1));
    };
    return nest(0);
  }

  async #numbers(): Promise<ArrayLike<number>> {
    if (this.dtype === 'float32' || this.dtype === 'int32') return this.data();
    const wide = native.to(this.#handle, 'float32', this.device);
    try {
      return await native.read(wide);
    } finally {
      wide.dispose();
    }
  }

  /** A view. One index per dimension, missing ones keep all: `t.slice(null, [1])` drops the first position. */
  slice(...index: Index[]): Tensor {
    const shape = this.shape;
    if (index.length > shape.length) {
      throw new MonosemError(
        'ERR_SHAPE',
        `slice() expects at most ${shape.length} indices for [${shape}], got ${index.length}`,
      );
    }
    const starts: number[] = [];
    const ends: number[] = [];
    const drop: boolean[] = [];
    shape.forEach((length, dim) => {
      const at = index[dim] ?? null;
      const [start, end] = range(at, length, dim);
      starts.push(start);
      ends.push(end);
      drop.push(typeof at === 'number');
    });
    return new Tensor(native.slice(this.#handle, starts, ends, drop));
  }

  /** A view of what the leading indices pick: `t.at(0, -1)` is the last row of the first batch. */
  at(...index: number[]): Tensor {
    return this.slice(...index);
  }

  /** A view where strides allow it, else a copy. One length may be -1: what remains. */
  reshape(shape: readonly number[]): Tensor {
    return new Tensor(native.reshape(this.#handle, shape));
  }

  /** A view with two dimensions exchanged. */
  transpose(dim0: number, dim1: number): Tensor {
    return new Tensor(native.transpose(this.#handle, dim0, dim1));
  }

  add(o: TensorLike | number): Tensor {
    return this.#binary(Binary.add, o);
  }
  sub(o: TensorLike | number): Tensor {
    return this.#binary(Binary.sub, o);
  }
  mul(o: TensorLike | number): Tensor {
    return this.#binary(Binary.mul, o);
  }
  div(o: TensorLike | number): Tensor {
    return this.#binary(Binary.div, o);
  }
  /** 1 where greater, else 0. */
  gt(o: TensorLike | number): Tensor {
    return this.#binary(Binary.gt, o);
  }
  lt(o: TensorLike | number): Tensor {
    return this.#binary(Binary.lt, o);
  }
  eq(o: TensorLike | number): Tensor {
    return this.#binary(Binary.eq, o);
  }

  #binary(op: number, o: TensorLike | number): Tensor {
    if (typeof o === 'number') return new Tensor(native.binaryScalar(op, this.#handle, o));
    if (o instanceof Tensor) return new Tensor(native.binary(op, this.#handle, o.#handle));
    return borrow(o, this.device, (other) => new Tensor(native.binary(op, this.#handle, other)));
  }

  pow(exponent: number): Tensor {
    return this.#unary(Unary.pow, exponent);
  }
  sqrt(): Tensor {
    return this.#unary(Unary.sqrt);
  }
  abs(): Tensor {
    return this.#unary(Unary.abs);
  }
  neg(): Tensor {
    return this.#unary(Unary.neg);
  }
  exp(): Tensor {
    return this.#unary(Unary.exp);
  }
  log(): Tensor {
    return this.#unary(Unary.log);
  }
  relu(): Tensor {
    return this.#unary(Unary.relu);
  }

  #unary(op: number, parameter = 0): Tensor {
    return new Tensor(native.unary(op, this.#handle, parameter));
  }

  /** Over one dimension, which vanishes; over everything when none is named. */
  sum(dim?: number): Tensor {
    return this.#reduce(Reduce.sum, dim);
  }
  mean(dim?: number): Tensor {
    return this.#reduce(Reduce.mean, dim);
  }
  /** NaN counts as the largest, as in PyTorch. */
  max(dim?: number): Tensor {
    return this.#reduce(Reduce.max, dim);
  }
  /** Euclidean. */
  norm(dim?: number): Tensor {
    return this.#reduce(Reduce.norm, dim);
  }
  /** int32; ties go to the lowest index, NaN counts as the largest. */
  argmax(dim?: number): Tensor {
    return this.#reduce(Reduce.argmax, dim);
  }

  #reduce(op: number, dim: number | undefined): Tensor {
    return new Tensor(native.reduce(op, this.#handle, dim ?? null));
  }

  softmax(dim = -1): Tensor {
    return new Tensor(native.softmax(this.#handle, dim, false));
  }
  logSoftmax(dim = -1): Tensor {
    return new Tensor(native.softmax(this.#handle, dim, true));
  }

  /** [..., m, k] @ [..., k, n]; a rank 1 operand is a row on the left, a column on the right. */
  matmul(o: TensorLike): Tensor {
    return borrow(o, this.device, (other) => new Tensor(native.matmul(this.#handle, other)));
  }

  /** The k largest along `dim`, descending; ties go to the lowest index, NaN first. Indices are int32. */
  topk(k: number, dim = -1): { readonly values: Tensor; readonly indices: Tensor } {
    const [values, indices] = native.topk(this.#handle, k, dim);
    return { values: new Tensor(values), indices: new Tensor(indices) };
  }

  /** A contiguous copy. */
  clone(): Tensor {
    return new Tensor(native.to(this.#handle, this.dtype, this.device));
  }

  /** A copy of another dtype or on another device. */
  to(options: { device?: Device; dtype?: DType }): Tensor {
    const device = options.device === undefined ? this.device : resolveDevice(options.device);
    return new Tensor(native.to(this.#handle, options.dtype ?? this.dtype, device));
  }

  fill(value: number): this {
    native.fill(this.#handle, value);
    return this;
  }

  /** Broadcasts the other to this one's shape and converts to its dtype. */
  copyFrom(o: TensorLike): this {
    borrow(o, this.device, (other) => native.copyInto(this.#handle, other));
    return this;
  }
  addInPlace(o: TensorLike | number): this {
    return this.#inPlace(Binary.add, o);
  }
  mulInPlace(o: TensorLike | number): this {
    return this.#inPlace(Binary.mul, o);
  }

  #inPlace(op: number, o: TensorLike | number): this {
    if (typeof o === 'number') native.binaryScalarInto(op, this.#handle, o);
    else borrow(o, this.device, (other) => native.binaryInto(op, this.#handle, other));
    return this;
  }

  /** Frees the memory once the commands in flight are done with it. Safe to repeat. */
  dispose(): void {
    this.#handle.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Any TensorLike as a Tensor on `device`; a Tensor of ours is returned as it is. */
export function toTensor(o: TensorLike, device?: Device): Tensor {
  if (o instanceof Tensor) return o;
  const isObject = typeof o === 'object' && o !== null;
  const shape = isObject ? ('dims' in o ? o.dims : o.shape) : undefined;
  if (!isObject || !ArrayBuffer.isView(o.data) || !Array.isArray(shape)) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'expected a Tensor, or an object with a typed array `data` and an array `shape` (or `dims`)',
    );
  }
  const type = 'dims' in o ? o.type : 'dtype' in o ? o.dtype : undefined;
  return fromTyped(o.data, shape, type, device === undefined ? {} : { device });
}

/** Runs `use` with the native handle of a TensorLike; a foreign one is uploaded for the call only. */
function borrow<R>(o: TensorLike, device: Device, use: (handle: NativeTensor) => R): R {
  if (o instanceof Tensor) return use(o.handle);
  const uploaded = toTensor(o, device);
  try {
    return use(uploaded.handle);
  } finally {
    uploaded.dispose();
  }
}

function full(shape: readonly number[], value: number, options: TensorOptions): Tensor {
  return new Tensor(
    native.full(shape, value, options.dtype ?? 'float32', resolveDevice(options.device)),
  );
}

function fromTyped(
  data: TypedArray,
  shape: readonly number[],
  type: string | undefined,
  options: TensorOptions,
): Tensor {
  const [source, natural] = storage(data, type ?? options.dtype);
  const dtype = options.dtype ?? natural;
  return new Tensor(native.fromHost(data, source, shape, dtype, resolveDevice(options.device)));
}

inspectAs(Tensor, ({ shape, dtype, device }) => `[${shape.join(', ')}] ${dtype} on ${device}`);
