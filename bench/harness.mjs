// Times contenders against each other: in rounds, each contender once per round and in turns first,
// so that a slow moment of the machine falls on all of them and not on one. tinybench times the runs of
// a round; by itself it would finish one contender before it starts the next.
import { Bench } from 'tinybench';

const roundsAtLeast = 9;
const roundsAtMost = 61;
const budgetMilliseconds = 6000;

/**
 * Contenders are { name, run(): Promise }. Returns per name the median, the fastest and the median
 * absolute deviation, in milliseconds. Each finds the caches as the one before left them; `warm`, as its
 * own run before left them.
 */
export async function compare(contenders, { warm = false } = {}) {
  const samples = new Map(contenders.map(({ name }) => [name, []]));
  for (const { run } of contenders) for (let i = 0; i < 2; i++) await run();
  const started = performance.now();
  for (let round = 0; round < roundsAtMost; round++) {
    if (round >= roundsAtLeast && performance.now() - started > budgetMilliseconds) break;
    const bench = new Bench({
      iterations: 1,
      time: 0,
      warmup: false,
      throws: true,
      retainSamples: true,
    });
    for (let turn = 0; turn < contenders.length; turn++) {
      const { name, run } = contenders[(round + turn) % contenders.length];
      bench.add(name, run, { async: true, ...(warm && { beforeEach: run }) });
    }
    for (const { name, result } of await bench.run()) {
      samples.get(name).push(...result.latency.samples);
    }
  }
  return Object.fromEntries([...samples].map(([name, times]) => [name, statistics(times)]));
}

function statistics(times) {
  const middle = median(times);
  return {
    median: middle,
    fastest: Math.min(...times),
    deviation: median(times.map((time) => Math.abs(time - middle))),
    rounds: times.length,
  };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
