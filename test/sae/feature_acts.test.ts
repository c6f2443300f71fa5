import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FeatureActs } from '../../lib/sae/feature_acts.js';
import { type Index, Tensor } from '../../lib/tensor.js';

const D_SAE = 12;

interface Dense {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Mostly zeros, as activations are. */
const dense: fc.Arbitrary<Dense> = fc
  .tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 4 }))
  .chain(([batch, pos]) => {
    const value = fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.float({ noNaN: true, min: -8, max: 8 }) },
    );
    const length = batch * pos * D_SAE;
    return fc.array(value, { minLength: length, maxLength: length }).map((data) => ({
      shape: [batch, pos, D_SAE],
      data: Float32Array.from(data, (x) => x || 0),
    }));
  });

const features = fc.uniqueArray(fc.integer({ min: 0, max: D_SAE - 1 }), { maxLength: 5 });

type Step = [kind: 'zero' | 'set' | 'add' | 'scale' | 'keep', features: number[], value: number];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom('zero', 'set', 'add', 'scale', 'keep'),
  features,
  fc.float({ noNaN: true, min: -4, max: 4 }),
);

function apply(acts: FeatureActs, [kind, list, value]: Step): FeatureActs {
  if (kind === 'zero' || kind === 'keep') return acts[kind](list);
  return acts[kind](list, value);
}

/** The same on dense numbers. */
function applyDense(data: Float32Array, [kind, list, value]: Step): Float32Array {
  const chosen = new Set(list);
  return data.map((x, i) => {
    const isChosen = chosen.has(i % D_SAE);
    if (kind === 'keep') return isChosen ? x : 0;
    if (!isChosen) return x;
    return { zero: 0, set: value, add: Math.fround(x + value), scale: Math.fround(x * value) }[
      kind
    ];
  });
}

const plus0 = (data: ArrayLike<number>) => Array.from(data, (x) => x + 0);

describe('FeatureActs', () => {
  it('stands for the dense tensor it came from', async () => {
    await fc.assert(
      fc.asyncProperty(dense, async ({ shape, data }) => {
        using acts = FeatureActs.from({ data, shape });
        expect(acts.shape).toEqual(shape);
        using back = acts.dense();
        expect(back.shape).toEqual(shape);
        expect(plus0(await back.data())).toEqual(plus0(data));
        expect(await acts.nnz()).toBe(data.filter((x) => x !== 0).length);
        using l0 = acts.l0();
        expect(l0.shape).toEqual(shape.slice(0, -1));
        using above = acts.gt(1);
        expect([...(await above.data())]).toEqual(Array.from(data, (x) => Number(x > 1)));
      }),
    );
  });

  it('gives compressed rows, features ascending', async () => {
    await fc.assert(
      fc.asyncProperty(dense, async ({ shape, data }) => {
        using acts = FeatureActs.from({ data, shape });
        const { rowOffsets, indices, values } = await acts.csr();
        const [batch, pos] = shape as [number, number];
        expect(rowOffsets.length).toBe(batch * pos + 1);
        const entries = Array.from({ length: batch * pos }, (_, row) =>
          Array.from(data.subarray(row * D_SAE, (row + 1) * D_SAE))
            .map((value, feature) => ({ feature, value }))
            .filter(({ value }) => value !== 0),
        );
        const lengths = Array.from(
          rowOffsets.subarray(1),
          (end, i) => end - (rowOffsets[i] as number),
        );
        expect(rowOffsets[0]).toBe(0);
        expect(lengths).toEqual(entries.map((row) => row.length));
        expect([...indices]).toEqual(entries.flat().map(({ feature }) => feature));
        expect([...values]).toEqual(entries.flat().map(({ value }) => value));
        const rows = await acts.rows();
        const strongest = entries.map((row) => row.toSorted((a, b) => b.value - a.value));
        expect(Array.from(rows, (row) => [...row])).toEqual(strongest);
        expect(await acts.topk(2)).toEqual(strongest.map((row) => row.slice(0, 2)));
        if (batch === 0) return;
        const last = rows.at(-1, pos - 1);
        expect(last.length).toBe((entries.at(-1) as unknown[]).length);
        for (let f = 0; f < D_SAE; f++) expect(last.get(f)).toBe(data.at(-D_SAE + f));
      }),
    );
  });

  it('intervenes as on the dense tensor, in place, in any chain; clones stay', async () => {
    await fc.assert(
      fc.asyncProperty(dense, fc.array(step, { maxLength: 5 }), async ({ shape, data }, steps) => {
        using acts = FeatureActs.from({ data, shape });
        using before = acts.clone();
        let expected = data;
        for (const one of steps) {
          expect(apply(acts, one)).toBe(acts);
          expected = applyDense(expected, one);
        }
        expect(plus0(await acts.dense().data())).toEqual(plus0(expected));
        expect(plus0(await before.dense().data())).toEqual(plus0(data));
      }),
    );
  });

  it('slices tokens as Tensor.slice does', async () => {
    const index: fc.Arbitrary<Index> = fc.oneof(
      fc.constant(null),
      fc.constantFrom(0, -1),
      fc.tuple(fc.integer({ min: -5, max: 5 }), fc.integer({ min: -5, max: 5 })),
    );
    await fc.assert(
      fc.asyncProperty(dense, fc.array(index, { maxLength: 2 }), async ({ shape, data }, at) => {
        fc.pre(shape[0] !== 0);
        using tensor = Tensor.from(data, shape);
        using acts = FeatureActs.from(tensor);
        using part = acts.slice(...at);
        using wanted = tensor.slice(...at);
        expect(part.shape).toEqual([...wanted.shape]);
        expect(plus0(await part.dense().data())).toEqual(plus0(await wanted.data()));
      }),
    );
  });

  it('sorts NaN first and takes a vector, a row of none, float16 bits', async () => {
    using acts = FeatureActs.from({ data: Float32Array.of(1, Number.NaN, 3, 0), shape: [4] });
    expect((await acts.topk(2))[0]).toEqual([
      { feature: 1, value: Number.NaN },
      { feature: 2, value: 3 },
    ]);
    expect((await acts.rows()).at().get(2)).toBe(3);
    using half = FeatureActs.from({ data: Uint16Array.of(0x3c00, 0), shape: [1, 2] });
    expect([...(await half.csr()).values]).toEqual([1]);
  });

  it('refuses features, indices and shapes that do not exist', async () => {
    using acts = FeatureActs.from({ data: new Float32Array(2 * D_SAE), shape: [2, D_SAE] });
    for (const bad of [-1, D_SAE, 1.5, Number.NaN, [0, D_SAE]]) {
      expect(() => acts.zero(bad as number)).toThrow(
        expect.objectContaining({
          code: 'ERR_INVALID_ARGUMENT',
          message: expect.stringContaining(`[0, ${D_SAE})`),
        }),
      );
    }
    expect(() => acts.set(0, '1' as never)).toThrow(/expected a number, got string/);
    expect(() => acts.slice(null, [0, 2])).toThrow(/dense\(\)\.slice\(\)/);
    expect(() => acts.slice(5)).toThrow(/out of range/);
    expect(acts.slice(null, null).shape).toEqual([2, D_SAE]);
    expect(() => FeatureActs.from(Tensor.from(1))).toThrow(/\[\.\.\., d_sae\]/);
    const rows = await acts.rows();
    expect(() => rows.at(2)).toThrow(/out of range/);
    expect(() => rows.at()).toThrow(expect.objectContaining({ code: 'ERR_SHAPE' }));
  });

  it('throws after dispose, twice harmless; a clone lives on', async () => {
    const acts = FeatureActs.from({ data: Float32Array.of(1, 2), shape: [1, 2] });
    using clone = acts.clone();
    acts.dispose();
    acts.dispose();
    const error = expect.objectContaining({ code: 'ERR_DISPOSED' });
    expect(() => acts.dense()).toThrow(error);
    expect(() => acts.zero(0)).toThrow(error);
    expect(() => acts.clone()).toThrow(error);
    await expect(acts.rows()).rejects.toThrow(error);
    expect([...(await clone.dense().data())]).toEqual([1, 2]);
  });
});
