// What the machine could do at most, measured in the same run as everything else, and what that means
// for a trial: no program that takes its path can be faster.
import { spawnSync } from 'node:child_process';
import { nativeProgram } from './native.mjs';

/** Multiply-adds (as two operations) and bytes per second. */
export class Limits {
  isa;
  float32 = 0;
  int8 = 0;
  bytesPerSecond = 0;

  /** Measures them, and keeps the best so far: a shared machine's memory has slow minutes. */
  measure() {
    const program = nativeProgram('monosem_bench');
    if (program === undefined) return;
    const { stdout } = spawnSync(program, ['no-row-of-its-own'], { encoding: 'utf8' });
    const found = (unit) => 1e9 * Number(new RegExp(`${unit} ([\\d.]+) `).exec(stdout)?.[1] ?? 0);
    this.isa = stdout.slice(0, stdout.indexOf(','));
    this.float32 = Math.max(this.float32, found('FMA peak'));
    this.int8 = Math.max(this.int8, found('int8 peak'));
    this.bytesPerSecond = Math.max(this.bytesPerSecond, found('memory read'));
  }
}

/** Digits of the input that the screen multiplies with the weights' one, by the path's name. */
function digitsOf(path) {
  if (!path.includes('int8') || path.includes('then float32')) return 0;
  return path.includes('14-bit') ? 2 : 1;
}

/**
 * The least milliseconds for float32 all through, and for the path that was taken: in each part the
 * arithmetic at its unit's peak, or the bytes of weights that must come from memory once, whichever
 * takes longer. The screen reads a byte per weight; refining and decoding read the rows of features.
 */
export function floors({ operation, dIn, dSae, batch }, { path, l0, stats }, limits) {
  const part = (operations, peak, bytes) =>
    1000 * Math.max(operations / peak, bytes / limits.bytesPerSecond);
  const rows = (perToken) => {
    const touched = Math.min(dSae, batch * perToken); // an upper bound on the distinct ones
    return part(2 * batch * perToken * dIn, limits.float32, 4 * dIn * touched);
  };
  const pairs = batch * dIn * dSae;
  const encode = part(2 * pairs, limits.float32, 4 * dIn * dSae);
  const digits = digitsOf(path);
  const encodeThisWay =
    digits > 0 && limits.int8 > 0
      ? part(2 * pairs * digits, limits.int8, dIn * dSae) + rows(stats.candidates)
      : encode;
  const decode = operation === 'decode' || operation === 'pass' ? rows(l0) : 0;
  if (operation === 'decode') return { float32: decode, path: decode };
  return { float32: encode + decode, path: encodeThisWay + decode };
}
