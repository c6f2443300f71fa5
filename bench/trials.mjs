// What is measured, as data. `npm run bench` runs the core trials; words choose among all of them:
// `npm run bench encode 2304x16384 b512 l100`.

/** Widths that SAEs have; the first two make up most of the core. */
const shapes = [
  { model: 'gpt2-small', dIn: 768, dSae: 24576 },
  { model: 'gemma-2-2b', dIn: 2304, dSae: 16384 },
  { model: 'gemma-2-2b', dIn: 2304, dSae: 65536 },
  { model: 'llama-3-8b', dIn: 4096, dSae: 32768 },
];

/** `pass` is encode, decode, and the error term added back, as when spliced into a model. */
const operations = ['encode', 'decode', 'pass', 'topk'];
const batches = [1, 32, 512, 2048];
const sparsities = [20, 100, 200];

// `warm`: the weights are in the caches from a run just before, as far as they fit; else other contenders
// ran in between, as a model's other layers would.

/** The demo's SAE, on real activations. */
const demo = { model: 'demo', dIn: 192, dSae: 1536, l0: 16 };

/** Time per token and feature: doubling the features, and doubling the tokens. */
const doublings = [
  ...[16384, 32768, 65536, 131072, 262144].map((dSae) => ({ dSae, batch: 512 })),
  ...[64, 128, 256, 1024, 2048].map((batch) => ({ dSae: 32768, batch })),
].map((one) => ({ operation: 'linear', model: 'gpt2-small', dIn: 768, l0: 50, ...one }));

/** What an SAE takes while it encodes. */
const memory = { operation: 'memory', batch: 512, l0: 100 };

/** What the core has besides encode and decode of the two first shapes at batch 1, 32, 512 and L0 100. */
const alsoCore = [
  'encode gemma-2-2b 2304x16384 b2048 l100',
  'encode gemma-2-2b 2304x16384 b512 l20',
  'encode gemma-2-2b 2304x16384 b512 l200',
  'encode gemma-2-2b 2304x65536 b512 l100',
  'encode llama-3-8b 4096x32768 b512 l100',
  'pass gemma-2-2b 2304x16384 b512 l100',
  'topk gemma-2-2b 2304x16384 b512 l64',
];

/** What the core measures again with each narrower instruction set that the machine has. */
export const narrower = {
  isas: ['avx512', 'avx2'],
  words: ['encode', 'gemma-2-2b', '2304x16384', 'b512', 'l100'],
};

function named(trial) {
  const { operation, model, dIn, dSae, batch, l0, warm = false } = trial;
  const name = `${operation} ${model} ${dIn}x${dSae} b${batch} l${l0}${warm ? ' warm' : ''}`;
  const basic =
    shapes.slice(0, 2).some((shape) => shape.dSae === dSae) &&
    (operation === 'encode' || operation === 'decode') &&
    batch <= 512 &&
    l0 === 100;
  return {
    name,
    ...trial,
    core:
      basic ||
      model === 'demo' ||
      operation === 'linear' ||
      operation === 'memory' ||
      alsoCore.includes(name),
  };
}

export const trials = [
  ...shapes.flatMap((shape) =>
    operations.flatMap((operation) =>
      (operation === 'topk' ? [64] : sparsities).flatMap((l0) =>
        batches.map((batch) => ({ operation, ...shape, batch, l0 })),
      ),
    ),
  ),
  ...shapes.map((shape) => ({ operation: 'encode', ...shape, batch: 1, l0: 100, warm: true })),
  ...['encode', 'decode', 'pass'].map((operation) => ({ operation, ...demo, batch: 512 })),
  ...shapes.slice(1, 3).map((shape) => ({ ...memory, ...shape })),
  ...doublings,
].map(named);

/** Those whose name has every word; the core when there are none. */
export function choose(words) {
  if (words.length === 0) return trials.filter(({ core }) => core);
  return trials.filter(({ name }) => words.every((word) => name.split(' ').includes(word)));
}
