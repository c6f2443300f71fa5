// How our time grows with the number of features and of tokens. All sizes are timed in turns, like
// contenders, so that what is compared was measured at the same time.
import { join } from 'node:path';
import { SAE, Tensor } from '../dist/index.js';
import { storedSae } from './data.mjs';
import { compare } from './harness.mjs';

/** Pairs of a trial and its row. */
export async function measureLinear(trials, work) {
  const saes = new Map();
  for (const trial of trials) {
    if (saes.has(trial.dSae)) continue;
    const folder = join(work, String(trial.dSae));
    const { input } = storedSae(trial, folder);
    const most = Math.max(...trials.map(({ batch }) => batch));
    const data = input({ ...trial, batch: most });
    saes.set(trial.dSae, { sae: await SAE.loadFromDisk(folder), data });
  }
  const contenders = trials.map((trial) => {
    const { sae, data } = saes.get(trial.dSae);
    const x = Tensor.from(data.subarray(0, trial.batch * trial.dIn), [trial.batch, trial.dIn]);
    return { name: trial.name, run: async () => (await sae.encode(x)).dispose() };
  });
  const times = await compare(contenders);
  const pairs = [];
  for (const [i, trial] of trials.entries()) {
    const { sae } = saes.get(trial.dSae);
    await contenders[i].run();
    const stats = sae.stats();
    const { path, active: l0 } = stats;
    pairs.push([trial, { precision: 'strict', path, l0, ...times[trial.name], stats }]);
  }
  for (const { sae } of saes.values()) sae.dispose();
  return pairs;
}
