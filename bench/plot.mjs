// Draws the results of a machine: ratios to onnxruntime-node beside what was predicted and what the
// machine allows, and time per token and feature as SAE and batch grow.
//   node bench/plot.mjs bench/results/MACHINE.json
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { predictions } from './predictions.mjs';
import { ratioTo } from './report.mjs';
import { element, logScale, svg, text } from './svg.mjs';

const peer = 'onnxruntime-node';
const predicted = Object.fromEntries(predictions.map(({ name, here }) => [name, here]));
const ratios = [
  {
    title: 'Gemma-2-2B, 2304 x 16384, L0 100',
    rows: [
      ['encode, batch 1', 'encode gemma-2-2b 2304x16384 b1 l100'],
      ['batch 1, warm', 'encode gemma-2-2b 2304x16384 b1 l100 warm'],
      ['batch 32', 'encode gemma-2-2b 2304x16384 b32 l100'],
      ['batch 512', 'encode gemma-2-2b 2304x16384 b512 l100'],
      ['batch 2048', 'encode gemma-2-2b 2304x16384 b2048 l100'],
      ['top 64, batch 512', 'topk gemma-2-2b 2304x16384 b512 l64'],
      ['decode, batch 1', 'decode gemma-2-2b 2304x16384 b1 l100'],
      ['batch 32', 'decode gemma-2-2b 2304x16384 b32 l100'],
      ['batch 512', 'decode gemma-2-2b 2304x16384 b512 l100'],
      ['both + error, 512', 'pass gemma-2-2b 2304x16384 b512 l100'],
    ],
  },
  {
    title: 'GPT-2 small, 768 x 24576, L0 100; others at batch 512',
    rows: [
      ['encode, batch 1', 'encode gpt2-small 768x24576 b1 l100'],
      ['batch 1, warm', 'encode gpt2-small 768x24576 b1 l100 warm'],
      ['batch 32', 'encode gpt2-small 768x24576 b32 l100'],
      ['batch 512', 'encode gpt2-small 768x24576 b512 l100'],
      ['decode, batch 1', 'decode gpt2-small 768x24576 b1 l100'],
      ['batch 32', 'decode gpt2-small 768x24576 b32 l100'],
      ['batch 512', 'decode gpt2-small 768x24576 b512 l100'],
      ['encode 2304 x 65536', 'encode gemma-2-2b 2304x65536 b512 l100'],
      ['encode 4096 x 32768', 'encode llama-3-8b 4096x32768 b512 l100'],
      ['encode, demo SAE', 'encode demo 192x1536 b512 l16'],
    ],
  },
];
const precisions = ['strict', 'float32'];
const most = 64; // times, at the right end
const rowHeight = 31;
const barHeight = 9;

/** One column of bars, from 1x: to the right we are faster. */
function ratioPanel({ title, rows: wanted }, results, left, top) {
  const x = logScale([1, most], [left + 160, left + 440]);
  const height = wanted.length * rowHeight;
  const parts = [text(left, top - 26, title, 'title')];
  for (const tick of [1, 2, 4, 8, 16, 32, 64]) {
    parts.push(
      element('line', {
        x1: x(tick),
        x2: x(tick),
        y1: top - 4,
        y2: top + height,
        class: tick === 1 ? 'axis' : 'grid',
      }),
      text(x(tick), top - 8, `${tick}x`, 'small middle'),
    );
  }
  for (const [i, [label, name]] of wanted.entries()) {
    const y = top + i * rowHeight + 5;
    parts.push(text(left + 122, y + barHeight + 4, label, 'end'));
    const drawn = precisions.filter((precision) => results.rows[`${name} ${precision}`]);
    for (const [j, precision] of drawn.entries()) {
      const kind = drawn.length === 1 ? 'strict' : precision;
      const row = results.rows[`${name} ${precision}`];
      const at = drawn.length === 1 ? y + (barHeight + 2) / 2 : y + j * (barHeight + 2);
      parts.push(...ratioBar(row, x, at, kind, predicted[`${name} ${precision}`]));
    }
  }
  return parts;
}

function ratioBar(row, x, y, kind, [low, high] = []) {
  const ratio = ratioTo(row, peer);
  const [from, to] = [x(1), x(Math.max(1, ratio))]; // below 1 the number says enough
  const middle = y + barHeight / 2;
  const parts = [
    element('rect', { x: from, y, width: to - from, height: barHeight, class: kind }),
    text(x(1) - 5, y + barHeight - 0.5, `${ratio.toFixed(ratio < 10 ? 1 : 0)}x`, 'small end value'),
  ];
  if (row.floors) {
    const limit = ratioTo({ ...row, median: row.floors.path }, peer);
    const at = x(limit);
    const mark = { x1: at, x2: at, y1: y - 1, y2: y + barHeight + 1, class: 'limit' };
    if (limit > 1 && limit <= most) parts.push(element('line', mark));
  }
  if (low !== undefined) {
    parts.push(
      element('line', { x1: x(low), x2: x(high), y1: middle, y2: middle, class: 'predicted' }),
      diamond(x(low), middle),
      ...(high > low ? [diamond(x(high), middle)] : []),
    );
  }
  return parts;
}

const diamond = (x, y) =>
  element('path', { d: `M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5z`, class: 'diamond' });

function legend(left, y) {
  const box = (x, kind) =>
    element('rect', { x, y: y - 9, width: 18, height: barHeight, class: kind });
  return [
    box(left, 'strict'),
    text(left + 24, y, 'strict (and decode)'),
    box(left + 150, 'float32'),
    text(left + 174, y, 'float32 throughout'),
    element('line', { x1: left + 309, x2: left + 309, y1: y - 11, y2: y + 2, class: 'limit' }),
    text(left + 316, y, "the machine's limit for that path"),
    diamond(left + 533, y - 4.5),
    text(left + 543, y, 'predicted, without AMX'),
  ];
}

/** Nanoseconds per token and feature: flat where cost is linear. */
function linearPanel({ title, of, label }, results, left, top) {
  const points = Object.entries(results.rows)
    .filter(([name]) => name.startsWith('linear '))
    .map(([name, row]) => {
      const [, dSae, batch] = /x(\d+) b(\d+) /.exec(name).map(Number);
      return { dSae, batch, cost: (1e6 * row.median) / (dSae * batch) };
    })
    .filter(of)
    .sort((a, b) => a.dSae - b.dSae || a.batch - b.batch);
  if (points.length === 0) return [];
  const size = (point) => label(point)[0];
  const sizes = points.map(size);
  const x = logScale([Math.min(...sizes), Math.max(...sizes)], [left + 60, left + 400]);
  const most = Math.ceil(1.25 * Math.max(...points.map(({ cost }) => cost)));
  const [bottom, height] = [top + 130, 130];
  const y = (cost) => bottom - (cost / most) * height;
  const parts = [text(left, top - 22, title, 'title')];
  for (const tick of [0, most / 2, most]) {
    parts.push(
      element('line', {
        x1: left + 36,
        x2: left + 424,
        y1: y(tick),
        y2: y(tick),
        class: tick === 0 ? 'axis' : 'grid',
      }),
      text(left + 30, y(tick) + 4, `${tick} ns`, 'small end'),
    );
  }
  parts.push(
    element('polyline', {
      points: points.map((point) => `${x(size(point))},${y(point.cost)}`).join(' '),
      class: 'line',
    }),
  );
  for (const point of points) {
    const at = x(size(point));
    parts.push(
      element('circle', { cx: at, cy: y(point.cost), r: 3.5, class: 'strict' }),
      text(at, y(point.cost) - 9, point.cost.toFixed(2), 'small middle value'),
      text(at, bottom + 16, label(point)[1], 'small middle'),
    );
  }
  return parts;
}

const linear = [
  {
    title: 'Time per token and feature: more features (d_in 768, 512 tokens)',
    of: ({ batch }) => batch === 512,
    label: ({ dSae }) => [dSae, dSae.toLocaleString('en')],
  },
  {
    title: 'more tokens (d_in 768, 32,768 features)',
    of: ({ dSae }) => dSae === 32768,
    label: ({ batch }) => [batch, batch.toLocaleString('en')],
  },
];

export function draw(results) {
  const { cpu, threads } = results.about;
  const [left, second, top] = [16, 492, 118];
  const below = top + ratios[0].rows.length * rowHeight + 62;
  return svg(960, below + 164, [
    text(left, 28, `Times as fast as ${peer} (log scale), ${cpu}, ${threads} threads`, 'heading'),
    ...legend(left, 54),
    ...ratioPanel(ratios[0], results, left, top),
    ...ratioPanel(ratios[1], results, second, top),
    ...linearPanel(linear[0], results, left, below),
    ...linearPanel(linear[1], results, second, below),
  ]);
}

/** Draws a machine's results to docs/performance.svg; returns that path. */
export function drawResults(path) {
  const to = join(import.meta.dirname, '..', 'docs', 'performance.svg');
  writeFileSync(to, draw(JSON.parse(readFileSync(path, 'utf8'))));
  return to;
}

if (process.argv[1] === import.meta.filename) console.log(drawResults(process.argv[2]));
