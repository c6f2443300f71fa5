import { MonosemError } from './error.js';

/** One index per dimension: a number picks (and drops), null keeps all, [start, end] cuts. Negatives count from the end. */
export type Index = number | null | readonly [start?: number | null, end?: number | null];

/** [start, end) of one index on a dimension, negatives from the end, cuts clamped as in Python. */
export function range(at: Index, length: number, dim: number): [number, number] {
  if (at === null) return [0, length];
  if (typeof at === 'number') {
    const start = at < 0 ? at + length : at;
    if (!Number.isInteger(at) || start < 0 || start >= length) {
      throw new MonosemError(
        'ERR_SHAPE',
        `index ${at} is out of range for dimension ${dim} of length ${length}`,
      );
    }
    return [start, start + 1];
  }
  const clamp = (value: number) =>
    Math.min(Math.max(value < 0 ? value + length : value, 0), length);
  const start = clamp(at[0] ?? 0);
  return [start, Math.max(start, clamp(at[1] ?? length))];
}
