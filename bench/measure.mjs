// One trial: our paths and the peers' on the same input, timed in turns, and how far apart they are.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SAE, Tensor } from '../dist/index.js';
import { compare } from './harness.mjs';

const precisions = ['strict', 'certified', 'float32'];

/** A row per path of ours that differs from those before it. */
export async function measure(trial, weights, { graph, peers, work }) {
  const { operation } = trial;
  const data = weights.input(trial);
  const x = Tensor.from(data, [trial.batch, trial.dIn]);
  const variants = [];
  for (const precision of operation === 'decode' ? ['float32'] : precisions) {
    const sae = await SAE.loadFromDisk(weights.folder, { precision });
    sae.useErrorTerm = true; // for `pass`: encode and decode do not look at it
    const variant = { precision, sae, ...(await operationOf(trial, sae, x)) };
    if (variants.some((earlier) => sameWork(earlier, variant))) release(variant);
    else variants.push(variant);
  }
  const fed = operation === 'decode' ? await denseActs(variants[0]) : data;
  // A bare dense layer: what selects, or has a threshold, is more than those libraries do.
  const layer = operation === 'decode' || (operation === 'encode' && !weights.threshold);
  const native = layer && weights.file !== undefined ? peers : undefined;
  const input = join(work, 'input');
  writeFileSync(input, new Uint8Array(fed.buffer, fed.byteOffset, fed.byteLength));
  await graph.prepare(input);
  await native?.prepare(trial, weights, input);
  const times = await compare(
    [
      ...variants.map(({ precision, run }) => ({
        name: precision,
        run: async () => (await run()).dispose(),
      })),
      graph.contender,
      ...(native?.contenders() ?? []),
    ],
    trial,
  );
  const theirs = await peerOutput(trial, graph);
  await native?.check(theirs);
  const peerTimes = Object.fromEntries(
    [graph.contender.name, ...(native?.names ?? [])].map((name) => [name, times[name]]),
  );
  const rows = [];
  for (const variant of variants) {
    const { precision, sae, l0, path } = variant;
    const stats = operation === 'decode' ? undefined : sae.stats();
    rows.push({
      precision,
      path,
      l0,
      ...times[precision],
      peers: peerTimes,
      largestError: difference(await variant.dense(), theirs),
      stats,
    });
    release(variant);
  }
  x.dispose();
  return rows;
}

/** Precisions differ in what the refine has to do, if there is one. */
const sameWork = (one, other) => one.path === other.path && !one.path.includes('refine');

/** How a trial's operation runs, once tried, and its dense output. */
async function operationOf({ operation, batch }, sae, x) {
  const acts = await sae.encode(x);
  const l0 = (await acts.nnz()) / batch;
  const path = operation === 'decode' ? 'sparse rows' : sae.stats().path;
  const runs = {
    encode: () => sae.encode(x),
    topk: () => sae.encode(x),
    decode: () => sae.decode(acts),
    pass: () => sae.forward(x),
  };
  const run = runs[operation];
  return { run, l0, path, acts, dense: () => numbers(run) };
}

async function denseActs({ acts }) {
  const dense = acts.dense();
  const data = await dense.data();
  dense.dispose();
  return data;
}

async function numbers(run) {
  const result = await run();
  const tensor = 'dense' in result ? result.dense() : result;
  const data = await tensor.data();
  tensor.dispose();
  result.dispose();
  return data;
}

function release({ acts, sae }) {
  acts.dispose();
  sae.dispose();
}

/** The graph's output as the dense matrix that ours is compared with. */
async function peerOutput({ operation, batch, dSae }, graph) {
  const [bytes, picked] = await graph.outputs();
  const values = new Float32Array(bytes);
  if (operation !== 'topk') return values;
  const indices = new BigInt64Array(picked);
  const dense = new Float32Array(batch * dSae);
  const k = values.length / batch;
  values.forEach((value, i) => {
    dense[Math.floor(i / k) * dSae + Number(indices[i])] = value;
  });
  return dense;
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
