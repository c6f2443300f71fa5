// `npm run test:native [WORD...]`: builds the native tests under AddressSanitizer and
// UndefinedBehaviorSanitizer, without Node, and runs those whose names contain a word.
// `npm run soak [-- --soak SECONDS]`: the soak of the certified screen alone, built as releases are.
// MONOSEM_SOAK_SECONDS sets its length in the first.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { missingTools } from './toolchain.mjs';

const root = resolve(import.meta.dirname, '..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { soak: { type: 'string' } },
});
const tree = join(root, 'build', values.soak ? 'native' : 'sanitized');
// -O1: the kernels' tests would take minutes at -O0.
const flags = '-O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer';

function run(program, ...args) {
  const { status, signal, error } = spawnSync(program, args, {
    stdio: 'inherit',
    env: {
      CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()),
      ASAN_OPTIONS: 'strict_string_checks=1:detect_stack_use_after_return=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
      ...process.env,
      ...(values.soak && { MONOSEM_SOAK_SECONDS: values.soak }),
    },
  });
  if (error) throw error;
  if (signal) console.error(`${program} was ended by ${signal}`);
  if (status !== 0) process.exit(status ?? 1);
}

const missing = missingTools();
if (missing) {
  console.error(`monosem: ${missing}`);
  process.exit(1);
}
run(
  'cmake',
  ...['-S', root, '-B', tree, '-DMONOSEM_TESTS=ON', '-DMONOSEM_CUDA=OFF'],
  ...(values.soak
    ? ['-DCMAKE_BUILD_TYPE=Release']
    : ['-DCMAKE_BUILD_TYPE=Debug', `-DCMAKE_CXX_FLAGS=${flags}`]),
);
run('cmake', '--build', tree, '--target', 'monosem_test');
run(join(tree, 'monosem_test'), ...(values.soak ? ['screen_soak'] : positionals));
