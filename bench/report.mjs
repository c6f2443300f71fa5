// Results as one JSON file per machine, which later runs add to, and the same as a table.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'results');

export function machine(threads) {
  const [{ model }] = cpus();
  return {
    cpu: model.trim(),
    threads,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    node: process.version,
    isa: process.env.MONOSEM_ISA ?? 'widest',
  };
}

const header =
  '| trial | path | ms | onnxruntime-node, ms | ratio | of the float32 limit | L0 | candidates / L0 | largest error |\n' +
  '|---|---|---|---|---|---|---|---|---|';

function tableRow([name, row]) {
  const cells = [
    name,
    row.path,
    row.median.toPrecision(3),
    row.onnxruntime.median.toPrecision(3),
    `${row.ratio.toFixed(2)}x`,
    row.limit === undefined ? '' : `${(100 * (row.limit / row.median)).toFixed(0)} %`,
    row.l0.toFixed(1),
    row.stats?.candidatesPerL0?.toFixed(2) ?? '',
    row.largestError.toExponential(1),
  ];
  return `| ${cells.join(' | ')} |`;
}

export function table(rows) {
  return [header, ...Object.entries(rows).map(tableRow)].join('\n');
}

/** Adds these rows to what the machine's file holds. Returns the paths written. */
export function save(about, limits, rows) {
  mkdirSync(folder, { recursive: true });
  const isa = process.env.MONOSEM_ISA ? `-${process.env.MONOSEM_ISA}` : '';
  const slug = `${about.cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${about.threads}t${isa}`;
  const path = join(folder, `${slug}.json`);
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).rows : {};
  const all = { ...before, ...rows };
  const when = new Date().toISOString().slice(0, 10);
  writeFileSync(path, `${JSON.stringify({ about, limits, when, rows: all }, null, 2)}\n`);
  const line = Object.entries(about).map(([key, value]) => `${key} ${value}`);
  writeFileSync(join(folder, `${slug}.md`), `${line.join(', ')}; ${when}\n\n${table(all)}\n`);
  return path;
}
