// `npm run bench:gpu [-- --dry-run]`: encode, decode and both on a GPU by CUDA events
// (native/gpu.cu), beside PyTorch with SAELens' equations on the same GPU (gpu_peer.py), the limits
// measured in the same run. A table, and JSON under bench/results/ with the device's name. Without a
// GPU it says so and fails; --dry-run proves the way over the host emulation and prints no time.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const root = resolve(import.meta.dirname, '..');
const tree = join(root, 'build', 'gpu-bench');
const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } });
const dry = values['dry-run'];

const trials = dry
  ? [{ dIn: 48, dSae: 200, l0: 10, batch: 3, dtype: 'float32' }]
  : [1, 32, 512, 4096].flatMap((batch) =>
      [
        { dIn: 768, dSae: 24576, l0: 100 },
        { dIn: 2304, dSae: 16384, l0: 100 },
        { dIn: 4096, dSae: 32768, l0: 100 },
      ].flatMap((shape) => ['float32', 'bfloat16'].map((dtype) => ({ ...shape, batch, dtype }))),
    );

function stop(reason) {
  console.error(`bench:gpu: ${reason}`);
  process.exit(1);
}

function build() {
  const cuda = dry ? 'OFF' : 'ON';
  const options = [
    '-DCMAKE_BUILD_TYPE=Release',
    `-DMONOSEM_CUDA=${cuda}`,
    '-DMONOSEM_GPU_BENCH=ON',
  ];
  for (const args of [
    ['-S', root, '-B', tree, ...options],
    ['--build', tree, '--target', 'monosem_gpu_bench'],
  ]) {
    if (spawnSync('cmake', args, { stdio: 'inherit' }).status !== 0) stop('the build failed');
  }
}

/** The JSON lines of a program; undefined, with its words passed on, when it could not run. */
function lines(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0)
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  console.error((error?.message ?? stderr).trim());
  return undefined;
}

if (!dry && spawnSync('nvcc', ['--version'], { stdio: 'ignore' }).status !== 0) {
  stop('no GPU was timed: nvcc was not found; put the CUDA toolkit on the PATH');
}
build();
const rows = [];
let device;
const peers = new Map(); // PyTorch's run does not depend on our dtype
for (const { dIn, dSae, l0, batch, dtype } of trials) {
  const shape = [dIn, dSae, l0, batch].map(String);
  const ours = lines(join(tree, 'monosem_gpu_bench'), [...shape, dtype]);
  if (!ours) stop('no GPU was timed');
  device = ours.find((row) => row.device);
  if (!peers.has(shape.join())) {
    const peer = join(import.meta.dirname, 'gpu_peer.py');
    peers.set(shape.join(), dry ? [] : (lines('python3', [peer, ...shape]) ?? []));
  }
  const theirs = peers.get(shape.join());
  const copy = ours.find(({ name }) => name === 'limit: copy');
  for (const row of ours.filter(({ name }) => name && !name.startsWith('limit'))) {
    const peerTimes = theirs.filter(({ name }) => name?.endsWith(`: ${row.name}`));
    const ratios = peerTimes.map(({ name, ms }) => [name.split(':')[0], ms / row.ms]);
    rows.push({
      ...{ trial: `${dIn}x${dSae} l${l0} b${batch} ${dtype}`, ...row },
      ratios: Object.fromEntries(ratios),
      bandwidth: row.gb_per_s / copy.gb_per_s,
    });
  }
}

console.log(`\n${device.device}, ${device.detail}\n`);
if (dry) {
  console.log(`dry run over the host emulation, no GPU: ${rows.length} rows, no times`);
  process.exit(0);
}
const peerNames = [...new Set(rows.flatMap(({ ratios }) => Object.keys(ratios)))];
const table = [
  ['trial', 'operation', 'ms', 'of the copy bandwidth', ...peerNames.map((name) => `x ${name}`)],
  ['---', '---', '---', '---', ...peerNames.map(() => '---')],
  ...rows.map(({ trial, name, ms, bandwidth, ratios }) => [
    ...[trial, name, ms.toPrecision(3), `${(100 * bandwidth).toFixed(0)} %`],
    ...peerNames.map((peer) => ratios[peer]?.toFixed(2) ?? ''),
  ]),
]
  .map((cells) => `| ${cells.join(' | ')} |`)
  .join('\n');
const folder = join(import.meta.dirname, 'results');
const slug = join(folder, device.device.toLowerCase().replace(/[^a-z0-9]+/g, '-'));
mkdirSync(folder, { recursive: true });
const when = new Date().toISOString().slice(0, 10);
const limits = Object.fromEntries(peers);
writeFileSync(
  `${slug}.json`,
  `${JSON.stringify({ device, when, rows, peers: limits }, null, 2)}\n`,
);
writeFileSync(`${slug}.md`, `${device.device}, ${device.detail}; ${when}\n\n${table}\n`);
console.log(`${table}\n\n${slug}.json`);
