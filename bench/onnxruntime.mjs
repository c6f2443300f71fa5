// The peer on the CPU: onnxruntime-node on the same weights, as a dense graph, which is what it can do.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { writeDecoder, writeEncoder } from './onnx.mjs';

const here = import.meta.dirname;

/** Installs the peers on first use. Their install script would only download a CUDA build. */
function load() {
  if (!existsSync(join(here, 'node_modules', 'onnxruntime-node'))) {
    console.error('installing the peers into bench/node_modules');
    execFileSync('npm', ['ci', '--ignore-scripts', '--silent'], { cwd: here, stdio: 'inherit' });
  }
  return createRequire(import.meta.url)('onnxruntime-node');
}

let library;

/** A function from Float32Array [batch, width] to the graph's output, with `threads` threads. */
async function session(path, width, threads) {
  library ??= load();
  const { InferenceSession, Tensor } = library;
  const graph = await InferenceSession.create(path, {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  return {
    feed: (data) => ({ x: new Tensor('float32', data, [data.length / width, width]) }),
    run: async (feeds) => (await graph.run(feeds)).y.data,
    release: () => graph.release(),
  };
}

export function encoder(folder, sae, threads) {
  const path = join(folder, 'encoder.onnx');
  writeEncoder(path, sae);
  return session(path, sae.dIn, threads);
}

export function decoder(folder, sae, threads) {
  const path = join(folder, 'decoder.onnx');
  writeDecoder(path, sae);
  return session(path, sae.dSae, threads);
}
