/**
 * Reads the safetensors files of test/fixtures into plain arrays, without the code under test, and
 * compares numbers the way the goldens ask for: relative to the scale of the tensor.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';

export interface GoldenTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Widened to float64, whatever the file holds. */
  readonly values: Float64Array;
}

/** The absolute path of something in test/fixtures. */
export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
}

export function readJson<T = Record<string, unknown>>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

/** Every tensor of a safetensors file, which may lie there as PATH.gz: F64, F32, F16, BF16, I32, I64. */
export function readGolden(path: string): Map<string, GoldenTensor> {
  const bytes = existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`));
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [start, end] = entry.data_offsets.map((at) => at + 8 + headerLength) as [number, number];
    tensors.set(name, {
      dtype: entry.dtype,
      shape: entry.shape,
      values: widen(entry.dtype, bytes.subarray(start, end)),
    });
  }
  return tensors;
}

function widen(dtype: string, bytes: Buffer): Float64Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read: Record<string, [width: number, at: (offset: number) => number]> = {
    F64: [8, (offset) => view.getFloat64(offset, true)],
    F32: [4, (offset) => view.getFloat32(offset, true)],
    F16: [2, (offset) => fromHalf(view.getUint16(offset, true))],
    BF16: [2, (offset) => fromBfloat16(view.getUint16(offset, true))],
    I32: [4, (offset) => view.getInt32(offset, true)],
    I64: [8, (offset) => Number(view.getBigInt64(offset, true))],
  };
  const [width, at] = read[dtype] ?? [0, () => Number.NaN];
  if (width === 0) throw new Error(`the golden reader does not know ${dtype}`);
  return Float64Array.from({ length: bytes.byteLength / width }, (_, i) => at(i * width));
}

export function fromBfloat16(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0] as number;
}

export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

interface Numbers {
  readonly shape: readonly number[];
  readonly dtype: string;
  data(): Promise<Float32Array | Uint16Array | Int32Array>;
}

/** The numbers of a Tensor, 16-bit ones widened. */
export async function numbers(tensor: Numbers): Promise<Float64Array> {
  const data = await tensor.data();
  if (tensor.dtype === 'bfloat16') return Float64Array.from(data, fromBfloat16);
  if (tensor.dtype === 'float16') return Float64Array.from(data, fromHalf);
  return Float64Array.from(data);
}

/** The largest difference, relative to the largest expected magnitude (at least 1); infinite where only one is NaN. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let scale = 1;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const want = expected[i] as number;
    const got = actual[i] as number;
    if (Object.is(want, got) || want === got) continue;
    const difference = Math.abs(got - want);
    worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference);
    if (Number.isFinite(want)) scale = Math.max(scale, Math.abs(want));
  }
  return worst / scale;
}

/** Asserts shape and numbers; `tolerance` is relative to the scale of the expected tensor. */
export async function expectGolden(
  actual: Numbers,
  expected: GoldenTensor | undefined,
  tolerance: number,
  what = '',
): Promise<void> {
  expect(expected, `golden tensor ${what}`).toBeDefined();
  const want = expected as GoldenTensor;
  expect([...actual.shape], `shape of ${what}`).toEqual([...want.shape]);
  expect(
    relativeError(await numbers(actual), want.values),
    `relative error of ${what}`,
  ).toBeLessThanOrEqual(tolerance);
}
