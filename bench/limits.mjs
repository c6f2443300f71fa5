// The machine's own limits, measured in the same run as everything else. Undefined where no compiler
// is at hand (or on a processor without AVX2): the table then leaves those columns empty.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const source = join(import.meta.dirname, 'limits.cpp');
const folder = join(import.meta.dirname, '..', 'build', 'bench');

export function measureLimits(threads) {
  try {
    mkdirSync(folder, { recursive: true });
    const program = join(folder, 'limits');
    const compiler = process.env.CXX ?? 'c++';
    const flags = ['-O3', '-march=native', '-std=c++20', '-pthread'];
    execFileSync(compiler, [...flags, source, '-o', program], { stdio: 'pipe' });
    return JSON.parse(execFileSync(program, [String(threads)], { encoding: 'utf8' }));
  } catch {
    return undefined;
  }
}
