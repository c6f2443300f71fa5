// What is measured, as data. A trial is chosen by words: `npm run bench encode 2304 b512`.

const shapes = [
  { model: 'gpt2-small', dIn: 768, dSae: 24576 },
  { model: 'gemma-2-2b', dIn: 2304, dSae: 16384 },
];
const batches = [1, 32, 512];
const l0 = 100;

export const trials = shapes.flatMap((shape) =>
  ['encode', 'decode'].flatMap((operation) =>
    batches.map((batch) => ({
      name: `${operation} ${shape.model} ${shape.dIn}x${shape.dSae} b${batch}`,
      operation,
      ...shape,
      batch,
      l0,
    })),
  ),
);

/** Those whose name has every word; all when there are none. */
export function choose(words) {
  return trials.filter(({ name }) => words.every((word) => name.split(/[ x]/).includes(word)));
}

/**
 * The least time the machine's limits allow, in milliseconds: the multiply-adds of a dense encode, or
 * the bytes that have to come from memory at least once, whichever takes longer.
 */
export function limit({ operation, dIn, dSae, batch }, activeFeatures, { flops, bytesPerSecond }) {
  const dense = 2 * batch * dIn * dSae;
  const gathered = 2 * batch * activeFeatures * dIn;
  const rows = Math.min(dSae, batch * activeFeatures); // an upper bound on distinct rows of W_dec
  const [work, bytes] =
    operation === 'encode' ? [dense, 4 * dIn * dSae] : [gathered, 4 * dIn * rows];
  return 1000 * Math.max(work / flops, bytes / bytesPerSecond);
}
