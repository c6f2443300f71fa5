// `node bench/model.mjs`: a language model with GPT-2 small's shapes and random weights. Prefill beside
// onnxruntime-node running the graph's matrix products alone, which is less than any runtime must do;
// one token over the key-value cache beside the time to read the weights from memory once; what hooks
// and caching add.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { HookedTransformer, Tensor } from '../dist/index.js';
import { compare } from './harness.mjs';
import { nodeProto, tensorProto, valueInfo, writeModel } from './onnx.mjs';
import { load } from './onnxruntime.mjs';

const [d, layers, heads, vocab, context] = [768, 12, 12, 50257, 1024];
const threads = Number(process.env.MONOSEM_THREADS) || availableParallelism();
const folder = mkdtempSync(join(tmpdir(), 'monosem-bench-model-'));

/** Normal numbers over a few thousand draws, repeated: the values do not matter, their size does. */
function weights(count, scale = 0.02) {
  const draws = Tensor.randn([4099], { seed: 1 }).dataSync();
  return Float32Array.from({ length: count }, (_, i) => scale * draws[i % draws.length]);
}

/** Name, shape and numbers of every tensor of the model, the way Hugging Face names them. */
function* tensors() {
  const matrix = (name, ...shape) => [name, shape, weights(shape[0] * shape[1])];
  const vector = (name, length, value) => [name, [length], new Float32Array(length).fill(value)];
  yield matrix('wte.weight', vocab, d);
  yield matrix('wpe.weight', context, d);
  for (let layer = 0; layer < layers; layer++) {
    const at = `h.${layer}.`;
    for (const [name, dIn, dOut] of products) {
      yield matrix(`${at}${name}.weight`, dIn, dOut);
      yield vector(`${at}${name}.bias`, dOut, 0);
    }
    for (const norm of ['ln_1', 'ln_2']) {
      yield vector(`${at}${norm}.weight`, d, 1);
      yield vector(`${at}${norm}.bias`, d, 0);
    }
  }
  yield vector('ln_f.weight', d, 1);
  yield vector('ln_f.bias', d, 0);
}

const products = [
  ['attn.c_attn', d, 3 * d],
  ['attn.c_proj', d, d],
  ['mlp.c_fc', d, 4 * d],
  ['mlp.c_proj', 4 * d, d],
];

/** A safetensors file: length of the header, header, data. */
function writeSafetensors(path) {
  const header = {};
  const data = [];
  let offset = 0;
  for (const [name, shape, values] of tensors()) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + values.byteLength] };
    data.push(Buffer.from(values.buffer));
    offset += values.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...data]));
}

/** The model's matrix products, one after another: those with weights and attention's two. */
function writeProducts(path) {
  const nodes = [];
  const stored = [];
  let x = 'x';
  const node = (operator, inputs, output, attributes) => {
    nodes.push(nodeProto(operator, inputs, [output], attributes));
    return output;
  };
  const product = (name, dIn, dOut) => {
    stored.push(tensorProto(name, [dIn, dOut], weights(dIn * dOut)));
    x = node('MatMul', [x, name], `${name}.out`);
  };
  stored.push(tensorProto('by head', [3], BigInt64Array.of(-1n, BigInt(heads), BigInt(d / heads))));
  stored.push(tensorProto('flat', [2], BigInt64Array.of(-1n, BigInt(d))));
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, dIn, dOut] of products) {
      product(`h.${layer}.${name}`, dIn, dOut);
      if (name !== 'attn.c_attn') continue;
      const parts = ['q', 'k', 'v'].map((part) => `${x}.${part}`);
      nodes.push(nodeProto('Split', [x], parts, { axis: 1, num_outputs: 3 }));
      const [q, k, v] = parts.map((part) => {
        const split = node('Reshape', [part, 'by head'], `${part}.by_head`);
        const perm = part.endsWith('.k') ? [1, 2, 0] : [1, 0, 2]; // keys are transposed
        return node('Transpose', [split], `${part}.heads`, { perm });
      });
      const scores = node('MatMul', [q, k], `${x}.scores`);
      const z = node('MatMul', [scores, v], `${x}.z`);
      const together = node('Transpose', [z], `${x}.together`, { perm: [1, 0, 2] });
      x = node('Reshape', [together, 'flat'], `${x}.flat`);
    }
  }
  product('wte', d, vocab);
  const inputs = [valueInfo('x', ['B', d])];
  writeModel(path, { nodes, weights: stored, inputs, outputs: [valueInfo(x, ['B', vocab])] });
}

const ids = (length) => ({
  ids: Int32Array.from({ length }, (_, i) => (i * 7919) % vocab),
  shape: [1, length],
});
const say = (what, times, ratio) =>
  console.log(
    `${what}: ${times.median.toFixed(1)} ms (fastest ${times.fastest.toFixed(1)})${ratio}`,
  );

try {
  mkdirSync(join(folder, 'model'));
  writeFileSync(join(folder, 'model', 'config.json'), '{"model_type": "gpt2"}');
  writeSafetensors(join(folder, 'model', 'model.safetensors'));
  const model = await HookedTransformer.fromPretrainedNoProcessing(join(folder, 'model'));
  const forward = async (length, options = {}) => {
    const { logits, cache } = await model.runWithCache(ids(length), {
      namesFilter: () => false,
      ...options,
    });
    logits?.dispose();
    cache.dispose();
  };

  writeProducts(join(folder, 'products.onnx'));
  const { InferenceSession, Tensor: OrtTensor } = load();
  const session = await InferenceSession.create(join(folder, 'products.onnx'), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const x = new OrtTensor('float32', weights(512 * d, 1), [512, d]);
  const prefill = await compare([
    { name: 'ours', run: () => forward(512) },
    { name: 'products', run: () => session.run({ x }) },
  ]);
  await session.release();
  say('onnxruntime-node, matrix products of 512 tokens alone', prefill.products, '');
  const share = prefill.products.median / prefill.ours.median;
  say('prefill of 512 tokens', prefill.ours, `, ${share.toFixed(2)}x of them`);

  const decoded = 16;
  const all = Tensor.zeros([model.W_E.size + 12 * 12 * d * d]);
  const reading = await compare([
    {
      name: 'decode',
      run: () =>
        model.generate([[1, 2, 3, 4]], { maxNewTokens: decoded, temperature: 0, stopAtEos: false }),
    },
    { name: 'read', run: () => all.sum().item() },
  ]);
  all.dispose();
  const perToken = reading.decode.median / decoded;
  console.log(
    `one token over the cache: ${perToken.toFixed(1)} ms, ${(perToken / reading.read.median).toFixed(2)} of reading the weights once (${reading.read.median.toFixed(1)} ms)`,
  );

  const edit = (act) => {
    const rows = act.slice(null, null, [0, 1]);
    rows.fill(0);
    rows.dispose();
  };
  const every = (name) => name.endsWith('hook_resid_post');
  const hooked = await compare([
    { name: 'plain', run: () => forward(64) },
    {
      name: 'hooks',
      run: async () => (await model.runWithHooks(ids(64), { fwdHooks: [[every, edit]] })).dispose(),
    },
    { name: 'cache', run: () => forward(64, { namesFilter: (name) => /^blocks\.5\./.test(name) }) },
  ]);
  const over = (times) => `, ${(times.median / hooked.plain.median).toFixed(3)} of none`;
  say('forward of 64 tokens', hooked.plain, '');
  say('with 12 hooks that queue commands', hooked.hooks, over(hooked.hooks));
  say('caching every point of one layer', hooked.cache, over(hooked.cache));
  await model.dispose();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
