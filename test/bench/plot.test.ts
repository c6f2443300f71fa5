import { describe, expect, it } from 'vitest';
import { draw } from '../../bench/plot.mjs';
import { predictions } from '../../bench/predictions.mjs';
import { bestPeer, table } from '../../bench/report.mjs';
import { fill, tell } from '../../bench/story.mjs';
import { trials } from '../../bench/trials.mjs';

const time = (median: number) => ({ median, fastest: median, deviation: 0, rounds: 9 });
const row = {
  precision: 'strict',
  path: 'int8 screen + refine',
  l0: 100,
  ...time(50),
  peers: { 'onnxruntime-node': time(200), oneDNN: time(150), 'oneDNN bfloat16': time(40) },
  floors: { float32: 160, path: 40 },
  largestError: 1e-7,
  stats: { candidatesPerL0: 2, planBytes: 1e8 },
};
const bare = { precision: 'strict', path: 'int8 screen + refine', l0: 50, ...time(8) };
const results = {
  about: { cpu: 'A <fast> one', threads: 2 },
  rows: {
    'encode gemma-2-2b 2304x16384 b512 l100 strict': row,
    'linear gpt2-small 768x16384 b512 l50 strict': bare,
    'linear gpt2-small 768x32768 b512 l50 strict': { ...bare, ...time(16) },
    'linear gpt2-small 768x32768 b64 l50 strict': { ...bare, ...time(2) },
  },
};

describe("the bench's plot", () => {
  it('is a well-formed drawing of the rows there are', () => {
    const drawn = draw(results);
    expect(drawn).not.toMatch(/NaN|undefined|Infinity/);
    expect(drawn).toContain('A &lt;fast&gt; one');
    expect(drawn).toContain('>4.0x<'); // 200 ms beside 50
    expect(drawn.match(/>0\.95</g)).toHaveLength(4); // ns per token and feature, at every size
    const open: string[] = [];
    for (const [, closing, name] of drawn.matchAll(/<(\/?)(\w+)[^>]*>/g)) {
      if (!closing) open.push(name as string);
      else expect(open.pop()).toBe(name);
    }
    expect(open).toEqual([]);
  });
});

describe("the bench's table", () => {
  it('has the ratio to the fastest peer that computes in float32, and to the limits', () => {
    expect(bestPeer(row)).toEqual({ name: 'oneDNN', ratio: 3 });
    const line = table({ 'one trial': row }).split('\n')[2];
    expect(line).toContain('| 4.00x | 3.00x | 320 % | 80 % |');
  });

  it('leaves out what a row does not have', () => {
    expect(table({ 'one trial': bare })).not.toMatch(/NaN|undefined/);
  });
});

describe("the bench's document", () => {
  const name = 'encode gemma-2-2b 2304x16384 b512 l100 strict';

  it('has predictions beside what was measured, and memory per form', () => {
    const forms = { weightBytes: 3e8, screenBytes: 4e7, rowsBytes: 1.5e8, float32PanelsBytes: 0 };
    const process = { peakBytes: 6e8, baselineBytes: 5e7 };
    const { ratios, memory } = tell({
      rows: { [name]: row },
      memory: { '2304 x 16384, strict': { ...forms, ...process } },
    });
    expect(ratios.split('\n')[2]).toBe(
      '| encode, batch 512, strict | 2.4x | 7x | 4.00x | 3.00x (oneDNN) | 80 % |',
    );
    expect(memory.split('\n')[2]).toBe('| 2304 x 16384, strict | 300 | 40 | 150 | 0 | 600 | 50 |');
  });

  it('is filled at the marked places, again and again', () => {
    const document = 'before\n<!-- bench: ratios -->\nold\n<!-- end -->\nafter\n';
    const once = fill(document, { ratios: 'new' });
    expect(once).toBe('before\n<!-- bench: ratios -->\nnew\n<!-- end -->\nafter\n');
    expect(fill(once, { ratios: 'new' })).toBe(once);
    expect(() => fill(document, { memory: 'new' })).toThrow('no place for memory');
  });

  it('only predicts trials that exist', () => {
    const names = trials.map((trial) => trial.name);
    for (const { name: predicted } of predictions) {
      expect(names).toContain(predicted.replace(/ (strict|certified|float32)( avx2)?$/, ''));
    }
  });
});
