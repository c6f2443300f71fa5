// `npm run test:gpu`: everything that needs a GPU, in order. Each step prints a line; the last one
// says how many passed. Without a GPU it says why and fails. `-- --dry-run` goes the same way over the
// host emulation, in small: it proves the commands, not the GPU.
//
//   native      every operator against fp64 and the CPU backend, through the native test program
//   shapes      10,000 random shapes (MONOSEM_TEST_ROUNDS)
//   sanitizers  compute-sanitizer's memcheck, racecheck, initcheck, synccheck, where it is installed
//   churn       ten minutes of allocations with flat memory (MONOSEM_TEST_SECONDS)
//   processes   two processes on the one device
//   golden      every SAE golden case through the addon
//
// Words choose steps: `npm run test:gpu -- native golden`. A machine without Node runs the native ones
// by hand: MONOSEM_TEST_DEVICE=cuda build/gpu/monosem_test cuda_
import { spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const tree = join(root, 'build', 'gpu');
const program = join(tree, 'monosem_test');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'dry-run': { type: 'boolean', default: false } },
});
const dry = values['dry-run'];

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: {
      CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()),
      ...process.env,
      ...env,
    },
  });
  if (error) console.error(`${command}: ${error.message}`);
  return status === 0;
}

function has(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

const device = dry ? {} : { MONOSEM_TEST_DEVICE: 'cuda' };
const native = (words, env = {}) => run(program, words, { ...device, ...env });
// Small enough for instrumented kernels, and with every kind of kernel in it.
const sample = ['cuda_random', 'cuda_csr', 'cuda_reduce', 'cuda_sae_decode', 'cuda_attention'];

function sanitize() {
  if (!has('compute-sanitizer')) {
    console.log('compute-sanitizer is not installed: its four checks were not run');
    return undefined;
  }
  return ['memcheck', 'racecheck', 'initcheck', 'synccheck'].every((tool) =>
    run('compute-sanitizer', ['--tool', tool, '--error-exitcode', '1', program, ...sample], {
      ...device,
      MONOSEM_TEST_ROUNDS: '3',
    }),
  );
}

function twoProcesses() {
  const one = () =>
    new Promise((done) => {
      const child = spawn(program, ['cuda_random', 'cuda_sae'], {
        stdio: 'inherit',
        env: { ...process.env, ...device },
      });
      child.on('close', (code) => done(code === 0));
    });
  return Promise.all([one(), one()]).then((both) => both.every(Boolean));
}

const steps = {
  native: () => native(['cuda_']),
  shapes: () => native(['cuda_random'], { MONOSEM_TEST_ROUNDS: dry ? '3' : '10000' }),
  sanitizers: () => (dry ? undefined : sanitize()),
  churn: () => native(['cuda_churn'], { MONOSEM_TEST_SECONDS: dry ? '1' : '600' }),
  processes: twoProcesses,
  golden: () =>
    run('npx', ['vitest', 'run', 'test/sae/golden.test.ts', 'test/sae/feature_acts.test.ts'], {
      MONOSEM_DEVICE: dry ? 'emulated' : 'cuda',
    }),
};

function build() {
  const cuda = dry ? 'OFF' : 'ON';
  const addon = [
    join(root, 'scripts', 'build.mjs'),
    '--cuda',
    cuda,
    ...(dry ? ['--emulated'] : []),
  ];
  return (
    run(process.execPath, addon) &&
    run('cmake', ['-S', root, '-B', tree, '-DMONOSEM_TESTS=ON', `-DMONOSEM_CUDA=${cuda}`]) &&
    run('cmake', ['--build', tree])
  );
}

/** Why there is nothing to test; empty where there is. */
function missing() {
  if (dry) return '';
  if (!has('nvcc')) return 'nvcc was not found: put the CUDA toolkit on the PATH';
  if (!build()) return 'the build failed';
  const addon = createRequire(import.meta.url)('node-gyp-build')(root);
  return addon.cudaReason();
}

const reason = missing();
if (reason || (dry && !build())) {
  console.error(`test:gpu: no GPU was tested: ${reason || 'the build failed'}`);
  process.exit(1);
}
const wanted = Object.keys(steps).filter(
  (name) => positionals.length === 0 || positionals.includes(name),
);
const results = {};
for (const name of wanted) {
  console.log(`\n== ${name}`);
  const passed = await steps[name]();
  results[name] = passed === undefined ? 'skipped' : passed ? 'passed' : 'failed';
}
const count = (result) => Object.values(results).filter((it) => it === result).length;
console.log(`\n${wanted.map((name) => `${name}: ${results[name]}`).join(', ')}`);
console.log(
  `${dry ? 'dry run over the host emulation, no GPU' : 'gpu'} steps: ` +
    `${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`,
);
process.exit(count('failed') === 0 ? 0 : 1);
