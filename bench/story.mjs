// Writes a machine's results into docs/performance.md, between the comments that mark their places.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { predictions } from './predictions.mjs';
import { bestPeer, percent, ratioTo, tableOf, times } from './report.mjs';

const range = ([low, high] = []) => (low < high ? `${low}x to ${high}x` : low && `${low}x`);

const ratioColumns = [
  ['Gemma-2-2B, 2304 x 16384, L0 100', ({ label }) => label],
  ['predicted', ({ here }) => range(here)],
  ['predicted with AMX', ({ amx }) => range(amx)],
  ['measured', ({ row }) => times(ratioTo(row, 'onnxruntime-node'))],
  [
    'beside the fastest float32 peer',
    ({ row }) => `${times(bestPeer(row).ratio)} (${bestPeer(row).name})`,
  ],
  ["of the path's limit", ({ row }) => percent(row.floors?.path / row.median)],
];

const megabytes = (bytes) => bytes && (bytes / 1e6).toFixed(0);
const memoryColumns = [
  ['', ({ name }) => name],
  ['W_enc and W_dec', ({ weightBytes }) => megabytes(weightBytes)],
  ['screen', ({ screenBytes }) => megabytes(screenBytes)],
  ['rows', ({ rowsBytes }) => megabytes(rowsBytes)],
  ['float32 panels', ({ float32PanelsBytes }) => megabytes(float32PanelsBytes)],
  ['peak of the process', ({ peakBytes }) => megabytes(peakBytes)],
  ['before loading', ({ baselineBytes }) => megabytes(baselineBytes)],
];

/** The tables by the name of their place. */
export function tell({ rows, memory = {} }) {
  const ratios = predictions
    .map((prediction) => ({ ...prediction, row: rows[prediction.name] }))
    .filter(({ row }) => row !== undefined);
  const used = Object.entries(memory).map(([name, row]) => ({ name, ...row }));
  return { ratios: tableOf(ratioColumns, ratios), memory: tableOf(memoryColumns, used) };
}

/** The document with its marked places filled anew. */
export function fill(document, tables) {
  return Object.entries(tables).reduce((text, [place, table]) => {
    const [from, to] = [`<!-- bench: ${place} -->\n`, `<!-- end -->`];
    const start = text.indexOf(from) + from.length;
    const end = text.indexOf(to, start);
    if (start < from.length || end < 0) throw new Error(`the document has no place for ${place}`);
    return `${text.slice(0, start)}${table}\n${text.slice(end)}`;
  }, document);
}

/** Returns the path of the document. */
export function tellResults(path) {
  const document = join(import.meta.dirname, '..', 'docs', 'performance.md');
  const tables = tell(JSON.parse(readFileSync(path, 'utf8')));
  writeFileSync(document, fill(readFileSync(document, 'utf8'), tables));
  return document;
}

if (process.argv[1] === import.meta.filename) console.log(tellResults(process.argv[2]));
