import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Tensor } from '../../lib/tensor.js';
import {
  along,
  broadcastShape,
  count,
  get,
  getBroadcast,
  type Plain,
  plain,
} from '../support/reference.js';

const shape = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });
const number = fc.double({ min: -4, max: 4, noNaN: true }).map(Math.fround);

/** A tensor and the same numbers in float64. */
const both = (lengths: readonly number[]): fc.Arbitrary<[Tensor, Plain]> =>
  fc
    .array(number, { minLength: count(lengths), maxLength: count(lengths) })
    .map((values) => [
      Tensor.from(new Float32Array(values), lengths, { device: 'cpu' }),
      { data: Float64Array.from(values), shape: lengths },
    ]);

async function expectClose(actual: Tensor, expected: Plain, tolerance = 1e-5): Promise<void> {
  expect(actual.shape).toEqual(expected.shape);
  const data = await actual.data();
  expected.data.forEach((value, i) => {
    const error = Math.abs((data[i] as number) - value);
    if (!(error <= tolerance * (1 + Math.abs(value)))) {
      expect.fail(`element ${i}: ${data[i]}, expected ${value}`);
    }
  });
}

test('binary operations broadcast like the reference', () =>
  fc.assert(
    fc.asyncProperty(
      shape.chain((lengths) => {
        const loose = lengths.slice(lengths.length > 2 ? 1 : 0);
        return fc.tuple(
          both(lengths),
          fc
            .array(fc.boolean(), { minLength: loose.length, maxLength: loose.length })
            .chain((ones) => both(loose.map((length, i) => (ones[i] ? 1 : length)))),
        );
      }),
      async ([[a, pa], [b, pb]]) => {
        const operations = {
          add: (x: number, y: number) => x + y,
          sub: (x: number, y: number) => x - y,
          mul: (x: number, y: number) => x * y,
          gt: (x: number, y: number) => Number(x > y),
          lt: (x: number, y: number) => Number(x < y),
          eq: (x: number, y: number) => Number(x === y),
        } as const;
        for (const [name, reference] of Object.entries(operations)) {
          const result = a[name as keyof typeof operations](b);
          await expectClose(
            result,
            plain(broadcastShape(pa.shape, pb.shape), (index) =>
              reference(getBroadcast(pa, index), getBroadcast(pb, index)),
            ),
          );
        }
      },
    ),
    { numRuns: 40 },
  ));

test('reductions along any dimension match the reference', () =>
  fc.assert(
    fc.asyncProperty(
      shape.chain((lengths) => fc.tuple(both(lengths), fc.nat(lengths.length - 1))),
      async ([[t, p], dim]) => {
        const total = (values: number[]) => values.reduce((a, b) => a + b, 0);
        await expectClose(t.sum(dim), along(p, dim, total));
        await expectClose(
          t.mean(dim),
          along(p, dim, (v) => total(v) / v.length),
        );
        await expectClose(
          t.max(dim),
          along(p, dim, (v) => Math.max(...v)),
        );
        await expectClose(
          t.norm(dim),
          along(p, dim, (v) => Math.hypot(...v)),
        );
        await expectClose(
          t.argmax(dim),
          along(p, dim, (v) => v.indexOf(Math.max(...v))),
        );
        const softmax = t.softmax(dim);
        await expectClose(
          softmax.sum(dim),
          along(p, dim, () => 1),
        );
        await expectClose(softmax.log(), { shape: p.shape, data: new Float64Array() }, Infinity);
        await expectClose(
          t.logSoftmax(dim),
          plain(p.shape, (index) => {
            const values = Array.from({ length: p.shape[dim] as number }, (_, i) =>
              get(p, [...index.slice(0, dim), i, ...index.slice(dim + 1)]),
            );
            const peak = Math.max(...values);
            return get(p, index) - peak - Math.log(total(values.map((v) => Math.exp(v - peak))));
          }),
        );
      },
    ),
    { numRuns: 40 },
  ));

test('matmul takes batches, broadcasting, rows and columns', () =>
  fc.assert(
    fc.asyncProperty(
      fc
        .tuple(
          fc.integer({ min: 1, max: 4 }),
          fc.integer({ min: 1, max: 9 }),
          fc.integer({ min: 1, max: 9 }),
          fc.integer({ min: 1, max: 9 }),
          fc.boolean(),
        )
        .chain(([b, m, k, n, shared]) =>
          fc.tuple(both([b, m, k]), both(shared ? [k, n] : [b, k, n])),
        ),
      async ([[a, pa], [b, pb]]) => {
        const [batch, m, k] = pa.shape as [number, number, number];
        const n = pb.shape.at(-1) as number;
        await expectClose(
          a.matmul(b),
          plain([batch, m, n], ([z, i, j]) => {
            let sum = 0;
            for (let q = 0; q < k; q++) {
              const right = pb.shape.length === 2 ? [q, j] : [z, q, j];
              sum += get(pa, [z as number, i as number, q]) * get(pb, right as number[]);
            }
            return sum;
          }),
          1e-4,
        );
      },
    ),
    { numRuns: 40 },
  ));

test('a rank 1 operand is a row on the left and a column on the right', async () => {
  const v = Tensor.from([1, 2, 3]);
  const m = Tensor.from([
    [1, 0],
    [0, 1],
    [1, 1],
  ]);
  expect(await v.matmul(m).toArray()).toEqual([4, 5]);
  expect(await m.transpose(0, 1).matmul(v).toArray()).toEqual([4, 5]);
  expect(await v.matmul(v).item()).toBe(14);
});

test('topk is sorted, breaks ties by the lowest index and puts NaN first', async () => {
  const { values, indices } = Tensor.from([1, Number.NaN, 3, 3, -1]).topk(4);
  expect(await indices.toArray()).toEqual([1, 2, 3, 0]);
  expect(await values.toArray()).toEqual([Number.NaN, 3, 3, 1]);
  const rows = Tensor.from([
    [1, 5],
    [7, 2],
    [3, 9],
  ]).topk(2, 0);
  expect(await rows.values.toArray()).toEqual([
    [7, 9],
    [3, 5],
  ]);
  expect(await rows.indices.toArray()).toEqual([
    [1, 2],
    [2, 0],
  ]);
  expect(await Tensor.from([1, Number.NaN]).max().item()).toBeNaN();
  expect(await Tensor.from([1, Number.NaN, 9]).argmax().item()).toBe(1);
});

test('elementwise functions', async () => {
  const t = Tensor.from([-2, -0.5, 0, 0.5, 2]);
  const near = async (actual: Tensor, f: (x: number) => number) =>
    expectClose(actual, { shape: [5], data: Float64Array.from([-2, -0.5, 0, 0.5, 2], f) });
  await near(t.neg(), (x) => -x);
  await near(t.abs(), Math.abs);
  await near(t.exp(), Math.exp);
  await near(t.relu(), (x) => Math.max(x, 0));
  await near(t.pow(2), (x) => x * x);
  await near(t.abs().sqrt(), (x) => Math.sqrt(Math.abs(x)));
  await near(t.mul(3).add(1).div(2).sub(4), (x) => (3 * x + 1) / 2 - 4);
  expect(await t.log().slice([3]).toArray()).toEqual([Math.log(0.5), Math.log(2)].map(Math.fround));
});

test('16-bit storage rounds to nearest even and keeps its dtype', async () => {
  for (const [dtype, step] of [
    ['float16', 2 ** -10],
    ['bfloat16', 2 ** -7],
  ] as const) {
    const t = Tensor.from([1 + step / 2, 1 + step, 1 + (3 * step) / 2], undefined).to({ dtype });
    expect(t.dtype).toBe(dtype);
    expect(await t.toArray()).toEqual([1, 1 + step, 1 + 2 * step]);
    expect(t.add(t).dtype).toBe(dtype);
    expect(t.mul(2).dtype).toBe(dtype);
    expect(t.gt(1).dtype).toBe('float32');
    expect(t.add(Tensor.ones([3])).dtype).toBe('float32');
    expect(await t.data()).toBeInstanceOf(Uint16Array);
  }
});
