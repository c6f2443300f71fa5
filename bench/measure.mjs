// One trial: our paths and the peer's on the same input, timed in turns, and how far apart they are.
import { SAE, Tensor } from '../dist/index.js';
import { syntheticInput, writeSae } from './data.mjs';
import { compare } from './harness.mjs';

const precisions = ['strict', 'certified', 'float32'];

/** A row per path of ours that differs from those before it. */
export async function measure(trial, weights, graph, work) {
  writeSae(work, weights, trial.operation === 'topk' ? trial.l0 : undefined);
  const data = syntheticInput(weights, trial);
  const x = Tensor.from(data, [trial.batch, trial.dIn]);
  const variants = [];
  for (const precision of trial.operation === 'decode' ? ['float32'] : precisions) {
    const sae = await SAE.loadFromDisk(work, { precision });
    sae.useErrorTerm = true; // for `pass`: encode and decode do not look at it
    const variant = { precision, sae, ...(await operationOf(trial, sae, x)) };
    if (variants.some(({ path }) => path === variant.path)) release(variant);
    else variants.push(variant);
  }
  const fed = trial.operation === 'decode' ? await denseActs(variants[0]) : data;
  const times = await compare([
    ...variants.map(({ precision, run }) => ({
      name: precision,
      run: async () => (await run()).dispose(),
    })),
    { name: 'onnxruntime', run: () => graph.run(fed) },
  ]);
  const theirs = await peerOutput(trial, graph, fed);
  const rows = [];
  for (const variant of variants) {
    const { precision, sae, l0, path } = variant;
    rows.push({
      precision,
      path,
      l0,
      ...times[precision],
      onnxruntime: times.onnxruntime,
      ratio: times.onnxruntime.median / times[precision].median,
      largestError: difference(await variant.dense(), theirs),
      stats: trial.operation === 'decode' ? undefined : sae.stats(),
    });
    release(variant);
  }
  x.dispose();
  return rows;
}

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
async function peerOutput({ operation, batch, dSae }, graph, fed) {
  const outputs = await graph.run(fed);
  if (operation !== 'topk') return Object.values(outputs)[0].data;
  const { values, indices } = outputs;
  const dense = new Float32Array(batch * dSae);
  const k = values.data.length / batch;
  values.data.forEach((value, i) => {
    dense[Math.floor(i / k) * dSae + Number(indices.data[i])] = value;
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
