// Memory of an SAE that encodes, per precision: the prepared forms, and the peak of a process that does
// nothing else.
//   node bench/memory.mjs FOLDER PRECISION INPUT BATCH     prints both, as JSON
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Rows by "trial precision". The input is float32 [batch, d_in] in a file. */
export function measureMemory(trial, folder, input) {
  return Object.fromEntries(
    ['strict', 'float32'].map((precision) => {
      const args = [import.meta.filename, folder, precision, input, trial.batch];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(`measuring memory failed: ${stderr}`);
      return [`${trial.dIn} x ${trial.dSae}, ${precision}`, JSON.parse(stdout)];
    }),
  );
}

/** The most memory that this process has had; undefined where the system does not tell. */
function peak() {
  if (process.platform !== 'linux') return undefined; // elsewhere it would include the parent's
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'));
  return 1024 * kilobytes;
}

async function encodeOnce(folder, precision, input, batch) {
  const { SAE, Tensor } = await import('../dist/index.js');
  const data = new Float32Array(new Uint8Array(readFileSync(input)).buffer);
  const baselineBytes = peak();
  const sae = await SAE.loadFromDisk(folder, { precision });
  const acts = await sae.encode(Tensor.from(data, [batch, data.length / batch]));
  await acts.nnz();
  const { screenBytes, rowsBytes, float32PanelsBytes } = sae.stats();
  const weightBytes = 4 * (sae.W_enc.size + sae.W_dec.size);
  const peakBytes = peak();
  return { weightBytes, screenBytes, rowsBytes, float32PanelsBytes, peakBytes, baselineBytes };
}

if (process.argv[1] === import.meta.filename) {
  const [folder, precision, input, batch] = process.argv.slice(2);
  console.log(JSON.stringify(await encodeOnce(folder, precision, input, Number(batch))));
}
