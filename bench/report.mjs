// Results as one JSON file per machine, which later runs add to, and the same as a table.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'results');
const peers = ['onnxruntime-node', 'OpenBLAS', 'oneDNN', 'oneDNN bfloat16'];

export function machine(threads) {
  const [{ model }] = cpus();
  return {
    cpu: model.trim(),
    threads,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    node: process.version,
  };
}

/** The fastest peer that computes in float32, as we do, and how many times as long it takes. */
export function bestPeer({ median, peers: theirs = {} }) {
  const [best] = Object.entries(theirs)
    .filter(([name]) => !name.includes('bfloat16'))
    .sort(([, a], [, b]) => a.median - b.median);
  return best && { name: best[0], ratio: best[1].median / median };
}

export const ratioTo = ({ median, peers: theirs }, peer) => theirs?.[peer]?.median / median;

const columns = [
  ['trial', ({ name }) => name],
  ['path', ({ path }) => path],
  ['ms', ({ median }) => median.toPrecision(3)],
  ...peers.map((peer) => [
    `${peer}, ms`,
    ({ peers: theirs }) => theirs?.[peer]?.median.toPrecision(3),
  ]),
  ['ratio to onnxruntime-node', (row) => times(ratioTo(row, peers[0]))],
  ['to the best float32 peer', (row) => times(bestPeer(row)?.ratio)],
  ["of float32's limit", ({ floors, median }) => percent(floors?.float32 / median)],
  ["of its path's limit", ({ floors, median }) => percent(floors?.path / median)],
  ['L0', ({ l0 }) => l0.toFixed(1)],
  ['candidates / L0', ({ stats }) => stats?.candidatesPerL0?.toFixed(2)],
  ['largest error', ({ largestError }) => largestError?.toExponential(1)],
  ['forms, MB', ({ stats }) => stats && (stats.planBytes / 1e6).toFixed(0)],
];

export const times = (ratio) => (ratio > 0 ? `${ratio.toFixed(2)}x` : undefined);
export const percent = (share) => (share > 0 ? `${(100 * share).toFixed(0)} %` : undefined);

/** Columns are [title, cell(row)]. */
export function tableOf(titled, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(titled.map(([title]) => title)),
    `|${'---|'.repeat(titled.length)}`,
    ...rows.map((row) => line(titled.map(([, cell]) => cell(row) ?? ''))),
  ].join('\n');
}

export const table = (rows) =>
  tableOf(
    columns,
    Object.entries(rows).map(([name, row]) => ({ name, ...row })),
  );

/** Adds these rows to what the machine's file holds. Returns its path. */
export function save(about, limits, rows, memory) {
  mkdirSync(folder, { recursive: true });
  const slug = `${about.cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${about.threads}t`;
  const path = join(folder, `${slug}.json`);
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const results = {
    about,
    when: new Date().toISOString().slice(0, 10),
    limits: { ...before.limits, ...(limits.isa && { [limits.isa]: limits }) },
    rows: { ...before.rows, ...rows },
    memory: { ...before.memory, ...memory },
  };
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, `${slug}.md`), markdown(results));
  return path;
}

function markdown({ about, when, limits, rows }) {
  const facts = Object.entries(about).map(([key, value]) => `${key} ${value}`);
  const giga = (value) => (value / 1e9).toFixed(0);
  const peaks = Object.entries(limits).map(
    ([isa, { float32, int8, bytesPerSecond }]) =>
      `${isa}: float32 ${giga(float32)} GFLOP/s, int8 ${giga(int8)} GOP/s, memory ${giga(bytesPerSecond)} GB/s`,
  );
  return `${[...facts, when].join(', ')}; ${peaks.join('; ')}\n\n${table(rows)}\n`;
}
