// `npm run bench [WORD...]`: every trial whose name has the words, ours and the peers' in turns; the core
// without words, and then the plot.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { storedSae } from './data.mjs';
import { demoSae } from './demo.mjs';
import { floors, Limits } from './limits.mjs';
import { measureLinear } from './linear.mjs';
import { measure } from './measure.mjs';
import { measureMemory } from './memory.mjs';
import { openGraph } from './onnxruntime.mjs';
import { install, NativePeers } from './peers.mjs';
import { drawResults } from './plot.mjs';
import { machine, save, table } from './report.mjs';
import { tellResults } from './story.mjs';
import { choose, narrower } from './trials.mjs';

const threads = Number(process.env.MONOSEM_THREADS) || availableParallelism();
const words = process.argv.slice(2);
const chosen = choose(words);
if (chosen.length === 0) {
  console.error(`no trial has the words "${words.join(' ')}"`);
  process.exit(2);
}

const limits = new Limits();
const peers = await NativePeers.open(threads);
if (peers === undefined) console.error(`without OpenBLAS and oneDNN, which are peers: ${install}`);
const measured = [];
const memory = {};
const work = mkdtempSync(join(tmpdir(), 'monosem-bench-'));
const add = (trial, row) => {
  const isa = process.env.MONOSEM_ISA ? ` ${process.env.MONOSEM_ISA}` : '';
  const name = `${trial.name} ${row.precision}${isa}`;
  measured.push({ name, trial, row });
  console.log(`${name}: ${row.median.toPrecision(3)} ms`);
};
try {
  const linear = chosen.filter(({ operation }) => operation === 'linear');
  const compared = chosen.filter(({ operation }) => operation !== 'linear');
  // Weights are large and depend on shape and sparsity; graphs on the operation too.
  for (const sameWeights of groups(compared, ({ dIn, dSae, l0 }) => `${dIn} ${dSae} ${l0}`)) {
    limits.measure();
    const [{ model }] = sameWeights;
    const weights = await (model === 'demo' ? demoSae : storedSae)(sameWeights[0], work);
    for (const sameGraph of groups(sameWeights, ({ operation }) => operation)) {
      if (sameGraph[0].operation === 'memory') {
        for (const trial of sameGraph) {
          const input = join(work, 'input');
          writeFileSync(input, new Uint8Array(weights.input(trial).buffer));
          Object.assign(memory, measureMemory(trial, work, input));
        }
        continue;
      }
      const graph = await openGraph(work, weights, sameGraph[0], threads);
      for (const trial of sameGraph) {
        const rows = await measure(trial, weights, { graph, peers, work });
        for (const row of rows) add(trial, row);
      }
      graph.release();
    }
  }
  if (linear.length > 0) {
    limits.measure();
    for (const [trial, row] of await measureLinear(linear, work)) add(trial, row);
  }
} finally {
  peers?.close();
  rmSync(work, { recursive: true, force: true });
}
// No limit is known without a compiler, nor for weights that may be in the caches.
const rows = Object.fromEntries(
  measured.map(({ name, trial, row }) =>
    limits.isa === undefined || trial.warm
      ? [name, row]
      : [name, { ...row, floors: floors(trial, row, limits) }],
  ),
);
const path = save(machine(threads), limits, rows, memory);
console.log(`\n${table(rows)}\n\nwritten to ${path}`);
if (words.length === 0) {
  for (const isa of narrower.isas.filter((name) => limits.isa && name !== limits.isa)) {
    const env = { ...process.env, MONOSEM_ISA: isa };
    spawnSync(process.execPath, [import.meta.filename, ...narrower.words], {
      env,
      stdio: 'inherit',
    });
  }
  console.log(`told in ${drawResults(path)} and ${tellResults(path)}`);
}

function groups(list, key) {
  const found = new Map();
  for (const item of list) found.set(key(item), [...(found.get(key(item)) ?? []), item]);
  return found.values();
}
