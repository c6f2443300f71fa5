// `npm run test:native:arm64 [WORD...]`: cross-compiles the native tests for AArch64 and runs them under
// QEMU, on a processor with the dot product instructions and on one without. Takes some minutes.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const tree = join(root, 'build', 'arm64');
const compiler = 'aarch64-linux-gnu-g++';
const emulators = ['qemu-aarch64-static', 'qemu-aarch64'];
const processors = ['max', 'cortex-a53'];
// What has kernels of its own there. The rest is the same portable code as everywhere.
const kernels = 'row_kernels gemm screen sae_encode sae_decode reduce norm attention'.split(' ');

const runs = (program) => spawnSync(program, ['--version']).status === 0;

function run(program, ...args) {
  const { status, signal, error } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()), ...process.env },
  });
  if (error) throw error;
  if (signal) console.error(`${program} was ended by ${signal}`);
  if (status !== 0) process.exit(status ?? 1);
}

const emulator = emulators.find(runs);
if (!emulator || !runs(compiler)) {
  console.log(
    `arm64 native tests: skipped, they need ${compiler} and ${emulators[0]} ` +
      '(apt-get install g++-aarch64-linux-gnu qemu-user-static)',
  );
  process.exit(0);
}
run(
  'cmake',
  ...['-S', root, '-B', tree, '-DMONOSEM_TESTS=ON', '-DMONOSEM_CUDA=OFF'],
  ...['-DCMAKE_SYSTEM_NAME=Linux', '-DCMAKE_SYSTEM_PROCESSOR=aarch64'],
  ...[`-DCMAKE_CXX_COMPILER=${compiler}`, '-DCMAKE_BUILD_TYPE=Release'],
);
run('cmake', '--build', tree, '--target', 'monosem_test');
const words = process.argv.slice(2);
for (const processor of processors) {
  console.log(`${processor}:`);
  run(
    emulator,
    ...['-cpu', processor, '-L', '/usr/aarch64-linux-gnu'],
    ...[join(tree, 'monosem_test'), ...(words.length ? words : kernels)],
  );
}
