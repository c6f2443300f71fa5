// The main peer: onnxruntime-node on the same weights, as a dense graph, which is what it can do.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeDecoder, writeEncoder, writePass, writeTopK } from './onnx.mjs';
import { StoppedProcess } from './stopped.mjs';

const here = import.meta.dirname;
const writers = { encode: writeEncoder, decode: writeDecoder, pass: writePass, topk: writeTopK };

/** Installs the peers on first use. Their install script would only download a CUDA build. */
export function load() {
  if (!existsSync(join(here, 'node_modules', 'onnxruntime-node'))) {
    console.error('installing the peers into bench/node_modules');
    execFileSync('npm', ['ci', '--ignore-scripts', '--silent'], { cwd: here, stdio: 'inherit' });
  }
  return createRequire(import.meta.url)('onnxruntime-node');
}

/** The graph of a trial's operation on this SAE. */
export async function openGraph(folder, sae, { operation, l0 }, threads) {
  load();
  const path = join(folder, `${operation}.onnx`);
  writers[operation](path, sae, l0);
  const session = new StoppedProcess(process.execPath, [join(here, 'onnxruntime_process.mjs')]);
  await session.ask(`open ${path} ${threads}`);
  return {
    /** From now on it runs on this file, float32 [batch, width]. */
    prepare: (input) =>
      session.ask(`input ${input} ${operation === 'decode' ? sae.dSae : sae.dIn}`),
    contender: { name: 'onnxruntime-node', run: () => session.time('run') },
    /** Its outputs as bytes, by name. */
    async outputs() {
      await session.ask(`output ${folder}`);
      const names = operation === 'topk' ? ['values', 'indices'] : [outputs[operation]];
      return names.map((name) => new Uint8Array(readFileSync(join(folder, name))).buffer);
    },
    release: () => session.close(),
  };
}

const outputs = { encode: 'acts', decode: 'recons', pass: 'out' };
