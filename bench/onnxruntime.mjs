// The peer on the CPU: onnxruntime-node on the same weights, as a dense graph, which is what it can do.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeDecoder, writeEncoder, writePass, writeTopK } from './onnx.mjs';

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

let library;

/** The graph of an operation of this SAE: `run(data)` takes [batch, width] and gives its outputs. */
export async function openGraph(folder, operation, sae, l0, threads) {
  library ??= load();
  const path = join(folder, `${operation}.onnx`);
  writers[operation](path, sae, l0);
  const graph = await library.InferenceSession.create(path, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const [input] = graph.inputNames;
  const width = operation === 'decode' ? sae.dSae : sae.dIn;
  return {
    run(data) {
      const x = new library.Tensor('float32', data, [data.length / width, width]);
      return graph.run({ [input]: x });
    },
    release: () => graph.release(),
  };
}
