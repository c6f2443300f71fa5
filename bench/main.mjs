// `npm run bench [WORD...]`: every trial whose name has the words, ours and the peers' in turns.
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { SAE, Tensor } from '../dist/index.js';
import { syntheticInput, syntheticSae, writeSae } from './data.mjs';
import { compare } from './harness.mjs';
import { measureLimits } from './limits.mjs';
import * as onnxruntime from './onnxruntime.mjs';
import { machine, save, table } from './report.mjs';
import { choose, limit } from './trials.mjs';

const threads = Number(process.env.MONOSEM_THREADS) || availableParallelism();
const words = process.argv.slice(2);
const chosen = choose(words);
if (chosen.length === 0) {
  console.error(`no trial has the words "${words.join(' ')}"`);
  process.exit(2);
}

const limits = measureLimits(threads);
const rows = {};
const work = mkdtempSync(join(tmpdir(), 'monosem-bench-'));
try {
  for (const model of new Set(chosen.map((trial) => trial.model))) {
    await measureShape(chosen.filter((trial) => trial.model === model));
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`\n${table(rows)}\n\nwritten to ${save(machine(threads), limits, rows)}`);

/** All trials of one shape share the weights, which are large. */
async function measureShape(trials) {
  const weights = syntheticSae(trials[0]);
  writeSae(work, weights);
  const sae = await SAE.loadFromDisk(work);
  for (const operation of ['encode', 'decode']) {
    const wanted = trials.filter((trial) => trial.operation === operation);
    if (wanted.length === 0) continue;
    const peer =
      operation === 'encode'
        ? await onnxruntime.encoder(work, weights, threads)
        : await onnxruntime.decoder(work, weights, threads);
    for (const trial of wanted) {
      const x = syntheticInput(weights, trial);
      const measure = operation === 'encode' ? measureEncode : measureDecode;
      const row = await measure(sae, peer, trial, x);
      row.ratio = row.onnxruntime.median / row.monosem.median;
      if (limits) row.limit = limit(trial, row.l0, limits);
      rows[trial.name] = row;
      console.log(`${trial.name}: ${row.ratio.toFixed(2)}x`);
    }
    await peer.release();
  }
  sae.dispose();
}

async function measureEncode(sae, peer, trial, data) {
  const x = Tensor.from(data, [trial.batch, trial.dIn]);
  const feeds = peer.feed(data);
  const times = await compare([
    { name: 'monosem', run: async () => (await sae.encode(x)).dispose() },
    { name: 'onnxruntime', run: () => peer.run(feeds) },
  ]);
  const acts = await sae.encode(x);
  const stats = sae.stats();
  const dense = acts.dense();
  const largestError = difference(await dense.data(), await peer.run(feeds));
  const l0 = (await acts.nnz()) / trial.batch;
  for (const held of [x, acts, dense]) held.dispose();
  return { ...times, l0, largestError, stats };
}

async function measureDecode(sae, peer, trial, data) {
  const x = Tensor.from(data, [trial.batch, trial.dIn]);
  const acts = await sae.encode(x);
  const dense = acts.dense();
  const feeds = peer.feed(await dense.data());
  const times = await compare([
    { name: 'monosem', run: async () => (await sae.decode(acts)).dispose() },
    { name: 'onnxruntime', run: () => peer.run(feeds) },
  ]);
  const recons = await sae.decode(acts);
  const largestError = difference(await recons.data(), await peer.run(feeds));
  const l0 = (await acts.nnz()) / trial.batch;
  for (const held of [x, acts, dense, recons]) held.dispose();
  return { ...times, l0, largestError };
}

/** The largest difference, relative to the largest value. */
function difference(ours, theirs) {
  let largest = 0;
  let scale = 0;
  for (let i = 0; i < ours.length; i++) {
    largest = Math.max(largest, Math.abs(ours[i] - theirs[i]));
    scale = Math.max(scale, Math.abs(theirs[i]));
  }
  return largest / scale;
}
