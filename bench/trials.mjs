// What is measured, as data. `npm run bench` runs the core trials; words choose among all of them:
// `npm run bench encode 2304x16384 b512 l100`.

/** [operation, d_in x d_sae] with the widths that SAEs have; the first two shapes are the core. */
const shapes = [
  { model: 'gpt2-small', dIn: 768, dSae: 24576 },
  { model: 'gemma-2-2b', dIn: 2304, dSae: 16384 },
  { model: 'gemma-2-2b', dIn: 2304, dSae: 65536, wide: true },
  { model: 'llama-3-8b', dIn: 4096, dSae: 32768, wide: true },
];

/** `pass` is encode, decode, and the error term added back, as when spliced into a model. */
const operations = ['encode', 'decode', 'pass', 'topk'];
const batches = [1, 32, 512, 2048];
const sparsities = [20, 100, 200];

export const trials = shapes.flatMap(({ wide = false, ...shape }) =>
  operations.flatMap((operation) =>
    (operation === 'topk' ? [64] : sparsities).flatMap((l0) =>
      batches.map((batch) => ({
        name: `${operation} ${shape.model} ${shape.dIn}x${shape.dSae} b${batch} l${l0}`,
        operation,
        ...shape,
        batch,
        l0,
        core: !wide && batch <= 512 && l0 === 100 && operation !== 'pass',
      })),
    ),
  ),
);

/** Those whose name has every word; the core when there are none. */
export function choose(words) {
  if (words.length === 0) return trials.filter(({ core }) => core);
  return trials.filter(({ name }) => words.every((word) => name.split(' ').includes(word)));
}

/**
 * The least time the machine's limits allow, in milliseconds, for float32: the multiply-adds, or the
 * bytes of weights that have to come from memory at least once, whichever takes longer. Decoding
 * gathers the rows of the features that are on.
 */
export function limit({ operation, dIn, dSae, batch }, active, { flops, bytesPerSecond }) {
  const encoding = [2 * batch * dIn * dSae, 4 * dIn * dSae];
  const rows = Math.min(dSae, batch * active); // an upper bound on the distinct ones
  const decoding = [2 * batch * active * dIn, 4 * dIn * rows];
  const parts = { encode: [encoding], topk: [encoding], decode: [decoding] }[operation] ?? [
    encoding,
    decoding,
  ];
  return parts.reduce(
    (sum, [work, bytes]) => sum + 1000 * Math.max(work / flops, bytes / bytesPerSecond),
    0,
  );
}
