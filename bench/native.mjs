// The native programs that the bench uses, built on first use in a tree of their own: the
// micro-benchmark, whose first line has the machine's limits, and the peers.
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tree = join(root, 'build', 'bench');

const paths = new Map();

/** The path of monosem_bench or monosem_peers; undefined, with the reason printed, where it fails. */
export function nativeProgram(name) {
  if (!paths.has(name)) paths.set(name, build(name));
  return paths.get(name);
}

function build(name) {
  const options = ['-DMONOSEM_BENCH=ON', '-DMONOSEM_CUDA=OFF', '-DCMAKE_BUILD_TYPE=Release'];
  const steps = [
    ['-S', root, '-B', tree, ...options],
    ['--build', tree, '--target', name, '-j2'],
  ];
  for (const step of steps) {
    const { status, stderr, error } = spawnSync('cmake', step, { encoding: 'utf8' });
    if (status !== 0) {
      console.error(`${name} cannot be built, and its columns stay empty: ${error ?? stderr}`);
      return undefined;
    }
  }
  return join(tree, name);
}
