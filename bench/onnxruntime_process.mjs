// onnxruntime-node with one graph, in a process of its own (see stopped.mjs):
//   open GRAPH THREADS     -> ok
//   input FILE WIDTH       -> ok              float32 [batch, width]
//   run                    -> milliseconds
//   output FOLDER          -> ok              each output's bytes, in a file of its name
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { load } from './onnxruntime.mjs';

const library = load();
let graph;
let feeds;

const commands = {
  async open(path, threads) {
    graph = await library.InferenceSession.create(path, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      intraOpNumThreads: Number(threads),
      interOpNumThreads: 1,
    });
    return 'ok';
  },
  async input(path, width) {
    const data = new Float32Array(new Uint8Array(readFileSync(path)).buffer);
    const x = new library.Tensor('float32', data, [data.length / width, Number(width)]);
    feeds = { [graph.inputNames[0]]: x };
    return 'ok';
  },
  async run() {
    const started = performance.now();
    await graph.run(feeds);
    return performance.now() - started;
  },
  async output(folder) {
    for (const [name, { data }] of Object.entries(await graph.run(feeds))) {
      writeFileSync(join(folder, name), new Uint8Array(data.buffer));
    }
    return 'ok';
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = line.split(' ');
  try {
    console.log(await commands[name](...args));
  } catch (error) {
    console.log(`error: ${error.message.split('\n')[0]}`);
  }
}
