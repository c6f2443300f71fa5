// `npm run test:package`: packs this tree and uses the package from empty folders, as a stranger
// would: built from source by its install script, and from a prebuild with no script run at all.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const work = mkdtempSync(join(tmpdir(), 'monosem-package-'));
const run = (cwd, program, ...args) =>
  execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

const use = `
const x = Tensor.from([[1, -2], [3, 4]]);
x.relu().sum().item().then((sum) => {
  if (sum !== 8) throw new Error('expected 8, got ' + sum);
});`;
const types = `
import { type FeatureActs, SAE, Tensor } from 'monosem';
export async function sum(folder: string): Promise<number> {
  using sae = await SAE.loadFromDisk(folder);
  using acts: FeatureActs = await sae.encode(Tensor.ones([1, sae.cfg.dIn]));
  return acts.nnz();
}
`;
const programs = {
  'esm.mjs': `import { Tensor } from 'monosem';${use}`,
  'commonjs.cjs': `const { Tensor } = require('monosem');${use}`,
};

const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const typeOptions = [
  ...['--ignoreConfig', '--noEmit', '--strict', '--exactOptionalPropertyTypes'],
  ...['--target', 'es2023', '--module', 'nodenext', '--lib', 'es2023,esnext.disposable,dom'],
];

let passed = 0;
function check(name, body) {
  body();
  passed++;
  console.log(`  ok  ${name}`);
}

function install(name, tarball, ...options) {
  const folder = join(work, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  run(folder, 'npm', 'install', '--silent', ...options, tarball);
  for (const [file, source] of Object.entries(programs)) {
    writeFileSync(join(folder, file), source);
    check(`${name}: ${file}`, () => run(folder, process.execPath, file));
  }
  check(`${name}: npx monosem devices`, () => run(folder, 'npx', 'monosem', 'devices'));
  check(`${name}: npx monosem info`, () => run(folder, 'npx', 'monosem', 'info'));
  writeFileSync(join(folder, 'types.mts'), types);
  check(`${name}: types`, () => run(folder, process.execPath, tsc, ...typeOptions, 'types.mts'));
}

/** The tarball's own files with this tree's binaries as its prebuild, packed again. */
function withPrebuild(tarball) {
  run(work, 'tar', 'xzf', tarball);
  const folder = join(work, 'package');
  const prebuild = join(folder, 'prebuilds', `${process.platform}-${process.arch}`);
  mkdirSync(prebuild, { recursive: true });
  const built = join(root, 'build', 'Release');
  for (const file of readdirSync(built).filter((name) => /\.(node|so)$/.test(name))) {
    cpSync(join(built, file), join(prebuild, file));
  }
  const name = run(
    folder,
    'npm',
    'pack',
    '--silent',
    '--ignore-scripts',
    '--pack-destination',
    work,
  );
  return join(work, name.trim());
}

try {
  const name = run(root, 'npm', 'pack', '--silent', '--pack-destination', work)
    .trim()
    .split('\n')
    .at(-1);
  const tarball = join(work, name);
  // The CUDA backend was compiled once already, by npm ci; here it would only cost minutes.
  process.env.MONOSEM_CUDA = 'OFF';
  install('from-source', tarball);
  install('from-prebuild', withPrebuild(tarball), '--ignore-scripts');
  console.log(`package tests: ${passed} passed, 0 failed`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
