import { MonosemError } from './error.js';
import type { StorageType, TypedArray } from './native.js';

export type NestedArray = number | NestedArray[];

/** What a typed array's bytes are, and the dtype that keeps them. */
export function storage(data: TypedArray, type: string | undefined): [string, StorageType] {
  if (data instanceof Float32Array) return ['float32', 'float32'];
  if (data instanceof Float64Array) return ['float64', 'float32'];
  if (data instanceof Int32Array) return ['int32', 'int32'];
  if (data instanceof BigInt64Array) return ['int64', 'int32'];
  if (data instanceof Uint16Array) {
    const half = type === 'bfloat16' ? 'bfloat16' : 'float16';
    return [half, half];
  }
  throw new MonosemError(
    'ERR_DTYPE',
    'expected a Float32Array, Float64Array, Int32Array, BigInt64Array or Uint16Array (float16 or bfloat16 bits), ' +
      `got ${Object.prototype.toString.call(data).slice(8, -1)}`,
  );
}

/** Nested arrays of one shape as float32 numbers, row-major. Throws ERR_SHAPE for ragged ones, ERR_DTYPE for what is no number. */
export function flatten(nested: NestedArray): { values: Float32Array; shape: number[] } {
  const shape: number[] = [];
  for (let level = nested; Array.isArray(level); level = level[0] as NestedArray) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  const values = new Float32Array(shape.reduce((product, length) => product * length, 1));
  let offset = 0;
  const walk = (value: NestedArray, dim: number): void => {
    const isArray = Array.isArray(value);
    if (isArray !== dim < shape.length || (isArray && value.length !== shape[dim])) {
      throw new MonosemError(
        'ERR_SHAPE',
        `expected nested arrays of one shape, [${shape}] by their first elements; an element at depth ${dim} differs`,
      );
    }
    if (isArray) for (const item of value) walk(item, dim + 1);
    else if (typeof value === 'number') values[offset++] = value;
    else throw new MonosemError('ERR_DTYPE', `expected numbers, got a ${typeof value}`);
  };
  walk(nested, 0);
  return { values, shape };
}
