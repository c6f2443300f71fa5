// The machine's own limits, measured in the same run as everything else: the first line that the native
// micro-benchmark prints. It is built on first use; undefined where that fails, and the table then
// leaves its column empty.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tree = join(root, 'build', 'bench');

export function measureLimits() {
  const run = (program, ...args) => spawnSync(program, args, { encoding: 'utf8' });
  const options = ['-DMONOSEM_BENCH=ON', '-DMONOSEM_CUDA=OFF', '-DCMAKE_BUILD_TYPE=Release'];
  if (run('cmake', '-S', root, '-B', tree, ...options).status !== 0) return undefined;
  if (run('cmake', '--build', tree, '--target', 'monosem_bench', '-j2').status !== 0) {
    return undefined;
  }
  const { stdout } = run(join(tree, 'monosem_bench'), 'no-row-of-its-own');
  const found = /FMA peak ([\d.]+) GFLOP\/s, memory read ([\d.]+) GB\/s/.exec(stdout);
  return found && { flops: 1e9 * found[1], bytesPerSecond: 1e9 * found[2] };
}
