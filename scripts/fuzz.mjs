// Fuzzes the readers of cpp/io with Clang's libFuzzer, ASan and UBSan, the fixtures being the seeds.
//
//   npm run fuzz                          a million executions of each reader
//   npm run fuzz -- --runs 10000000 npz   ten million of one
//
// What it finds is kept in build/fuzz/findings: fix it, and add the file to test/fixtures/bad.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const build = join(root, 'build', 'fuzz');
const extensions = { safetensors: /\.safetensors$/, npz: /\.npz$/, torch: /\.pth?$/ };
/** Larger seeds slow every execution down and show nothing that small ones do not. */
const largestSeed = 8192;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '1000000' } },
});
const readers = positionals.length > 0 ? positionals : Object.keys(extensions);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: root });
  if (error) console.error(`monosem: ${command} cannot be run: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/** A folder of seeds: every fixture of the format. */
function seeds(reader) {
  const folder = join(build, 'seeds', reader);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const fixtures = join(root, 'test', 'fixtures');
  let count = 0;
  for (const name of readdirSync(fixtures, { recursive: true })) {
    const path = join(fixtures, name);
    if (!extensions[reader].test(name) || !statSync(path).isFile()) continue;
    if (statSync(path).size <= largestSeed)
      copyFileSync(path, join(folder, `${count++}-${basename(name)}`));
  }
  return folder;
}

const compiler = process.env.CXX ?? 'clang++';
run('cmake', [
  '-S',
  '.',
  '-B',
  build,
  '-DMONOSEM_FUZZ=ON',
  '-DMONOSEM_CUDA=OFF',
  `-DCMAKE_CXX_COMPILER=${compiler}`,
]);
for (const reader of readers) {
  if (!Object.hasOwn(extensions, reader)) {
    console.error(
      `monosem: there is no reader ${reader}; there are ${Object.keys(extensions).join(', ')}`,
    );
    process.exit(1);
  }
  run('cmake', ['--build', build, '--target', `fuzz_${reader}`]);
  const corpus = join(build, 'corpus', reader);
  const findings = join(build, 'findings', reader);
  for (const folder of [corpus, findings]) mkdirSync(folder, { recursive: true });
  run('nice', [
    join(build, `fuzz_${reader}`),
    `-runs=${values.runs}`,
    `-max_len=${largestSeed}`,
    '-timeout=5',
    '-rss_limit_mb=2048',
    '-malloc_limit_mb=256',
    '-print_final_stats=1',
    `-artifact_prefix=${findings}/`,
    corpus,
    seeds(reader),
  ]);
}
