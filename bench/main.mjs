// `npm run bench [WORD...]`: every trial whose name has the words, ours and the peer's in turns.
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { syntheticSae } from './data.mjs';
import { measureLimits } from './limits.mjs';
import { measure } from './measure.mjs';
import { openGraph } from './onnxruntime.mjs';
import { machine, save, table } from './report.mjs';
import { choose, limit } from './trials.mjs';

const threads = Number(process.env.MONOSEM_THREADS) || availableParallelism();
const words = process.argv.slice(2);
const chosen = choose(words);
if (chosen.length === 0) {
  console.error(`no trial has the words "${words.join(' ')}"`);
  process.exit(2);
}

const limits = measureLimits();
const rows = {};
const work = mkdtempSync(join(tmpdir(), 'monosem-bench-'));
try {
  // Weights are large and depend on shape and sparsity; graphs on the operation too.
  for (const sameWeights of groups(chosen, ({ dIn, dSae, l0 }) => `${dIn} ${dSae} ${l0}`)) {
    const weights = syntheticSae(sameWeights[0]);
    for (const sameGraph of groups(sameWeights, ({ operation }) => operation)) {
      const [{ operation, l0 }] = sameGraph;
      const graph = await openGraph(work, operation, weights, l0, threads);
      for (const trial of sameGraph) {
        for (const row of await measure(trial, weights, graph, work)) {
          if (limits) row.limit = limit(trial, row.l0, limits);
          rows[`${trial.name} ${row.precision}`] = row;
          console.log(`${trial.name} ${row.precision}: ${row.ratio.toFixed(2)}x`);
        }
      }
      await graph.release();
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`\n${table(rows)}\n\nwritten to ${save(machine(threads), limits, rows)}`);

function groups(list, key) {
  const found = new Map();
  for (const item of list) found.set(key(item), [...(found.get(key(item)) ?? []), item]);
  return found.values();
}
