// `npm run bench:model`: a language model with GPT-2 small's shapes and random weights. Prefill beside
// onnxruntime-node running the same graph on the same weights; one token over the key-value cache beside
// the time to read the weights from memory once; what hooks and caching add.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { HookedTransformer, Tensor } from '../dist/index.js';
import { causalMask, writeGpt2 } from './gpt2_graph.mjs';
import { compare } from './harness.mjs';
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

const ids = (length) => ({
  ids: Int32Array.from({ length }, (_, i) => (i * 7919) % vocab),
  shape: [1, length],
});
/** Of two sets of numbers, relative to the largest of them. */
function largestDifference(a, b) {
  let [largest, difference] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]));
    difference = Math.max(difference, Math.abs(a[i] - b[i]));
  }
  return difference / largest;
}

const say = (what, times, ratio) =>
  console.log(
    `${what}: ${times.median.toFixed(1)} ms (fastest ${times.fastest.toFixed(1)})${ratio}`,
  );

try {
  mkdirSync(join(folder, 'model'));
  writeFileSync(join(folder, 'model', 'config.json'), '{"model_type": "gpt2"}');
  writeSafetensors(join(folder, 'model', 'model.safetensors'));
  const model = await HookedTransformer.fromPretrainedNoProcessing(join(folder, 'model'));
  const forward = async (length, options = {}, of = model) => {
    const { logits, cache } = await of.runWithCache(ids(length), {
      namesFilter: () => false,
      ...options,
    });
    logits?.dispose();
    cache.dispose();
  };

  writeGpt2(join(folder, 'gpt2.onnx'), { d, layers, heads, vocab }, tensors());
  const { InferenceSession, Tensor: OrtTensor } = load();
  const session = await InferenceSession.create(join(folder, 'gpt2.onnx'), {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const whole = BigInt64Array.from(ids(512).ids, BigInt);
  const inputs = {
    ids: new OrtTensor('int64', whole, [512]),
    positions: new OrtTensor(
      'int64',
      whole.map((_, i) => BigInt(i)),
      [512],
    ),
    mask: new OrtTensor('float32', causalMask(512), [512, 512]),
  };
  const [theirs] = Object.values(await session.run(inputs));
  const ours = await model.forward(ids(512));
  const difference = largestDifference(ours.dataSync(), theirs.data);
  ours.dispose();
  const prefill = await compare([
    { name: 'ours', run: () => forward(512) },
    { name: 'peer', run: () => session.run(inputs) },
  ]);
  await session.release();
  say('onnxruntime-node, prefill of 512 tokens', prefill.peer, '');
  const ratio = prefill.peer.median / prefill.ours.median;
  say(
    'prefill of 512 tokens',
    prefill.ours,
    `, ${ratio.toFixed(2)}x onnxruntime-node; logits differ by ${difference.toExponential(1)} of the largest`,
  );

  const decoded = 16;
  const decode = (of) =>
    of.generate([[1, 2, 3, 4]], { maxNewTokens: decoded, temperature: 0, stopAtEos: false });
  const all = Tensor.zeros([model.W_E.size + 12 * 12 * d * d]);
  const reading = await compare([
    { name: 'decode', run: () => decode(model) },
    { name: 'read', run: () => all.sum().item() },
  ]);
  all.dispose();
  const perToken = reading.decode.median / decoded;
  console.log(
    `one token over the cache: ${perToken.toFixed(1)} ms, ${(perToken / reading.read.median).toFixed(2)} of reading the weights once (${reading.read.median.toFixed(1)} ms)`,
  );

  const held = { dtype: 'bfloat16' };
  const narrow = await HookedTransformer.fromPretrainedNoProcessing(join(folder, 'model'), held);
  const halves = await compare([
    { name: 'prefill', run: () => forward(512) },
    { name: 'narrow prefill', run: () => forward(512, {}, narrow) },
    { name: 'decode', run: () => decode(model) },
    { name: 'narrow decode', run: () => decode(narrow) },
  ]);
  await narrow.dispose();
  for (const [what, name] of [
    ['prefill of 512 tokens', 'prefill'],
    [`${decoded} tokens over the cache`, 'decode'],
  ]) {
    const narrowed = halves[`narrow ${name}`];
    const faster = halves[name].median / narrowed.median;
    say(`${what} in bfloat16`, narrowed, `, ${faster.toFixed(2)}x float32`);
  }

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
