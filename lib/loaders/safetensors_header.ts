import { MonosemError } from '../error.js';
import { field, isObject, type Json, parseJsonObject } from '../sae/config.js';
import type { SaeFiles } from './files.js';

/** Where a tensor's row-major, little-endian bytes are in a file that was not downloaded. */
export interface StoredTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

const DTYPES: ReadonlyMap<unknown, string> = new Map([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
]);

const BYTES: ReadonlyMap<string, number> = new Map([
  ['float64', 8],
  ['float32', 4],
  ['float16', 2],
  ['bfloat16', 2],
]);

const MAXIMUM_HEADER = 100_000_000;

/**
 * The tensors of floats in a safetensors file, by two ranged reads: the header's length, and the header.
 * Throws ERR_FORMAT unless each lies within the file and has the size of its shape.
 */
export async function readSafetensorsHeader(
  files: SaeFiles,
  path: string,
): Promise<ReadonlyMap<string, StoredTensor>> {
  const prefix = await files.readRange(path, 0, 8);
  const size = await files.size(path);
  const length =
    prefix.length < 8 ? 0n : new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length === 0n || length > BigInt(Math.min(MAXIMUM_HEADER, size - 8))) {
    throw broken(path, `announces a header of ${length} bytes in ${size}`);
  }
  const data = 8 + Number(length);
  const header = await files.readRange(path, 8, data);
  const json = parseJsonObject(new TextDecoder().decode(header), `the header of ${path}`);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(json)) {
    const tensor = name === '__metadata__' || !isObject(entry) ? undefined : parseEntry(entry);
    if (tensor === undefined) continue;
    const { shape, dtype, start, end } = tensor;
    const elements = shape.reduce((product, dimension) => product * dimension, 1);
    if (end - start !== elements * (BYTES.get(dtype) as number) || data + end > size) {
      throw broken(path, `its tensor ${name} does not lie in it`);
    }
    tensors.set(name, { shape, dtype, start: data + start, end: data + end });
  }
  return tensors;
}

function parseEntry(entry: Json): StoredTensor | undefined {
  const dtype = DTYPES.get(field(entry, 'dtype'));
  const shape = field(entry, 'shape');
  const offsets = field(entry, 'data_offsets');
  if (dtype === undefined || !isCounts(shape) || !isCounts(offsets)) return undefined;
  const [start = 0, end = -1] = offsets;
  return { dtype, shape, start, end };
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function broken(path: string, what: string): MonosemError {
  return new MonosemError('ERR_FORMAT', `${path} is not a sound safetensors file: ${what}`);
}

/** Little-endian floats as float32. */
export function widen(dtype: string, bytes: Uint8Array): Float32Array {
  const width = BYTES.get(dtype) as number;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Float32Array(bytes.byteLength / width);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < out.length; i++) {
    if (dtype === 'bfloat16') bits[i] = view.getUint16(2 * i, true) << 16;
    else if (dtype === 'float16') out[i] = fromFloat16(view.getUint16(2 * i, true));
    else if (dtype === 'float64') out[i] = view.getFloat64(8 * i, true);
    else bits[i] = view.getUint32(4 * i, true);
  }
  return out;
}

function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
