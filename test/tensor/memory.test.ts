import { expect, test } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { scope } from '../../lib/scope.js';
import { Tensor, toTensor } from '../../lib/tensor.js';

const code = (expected: string) => expect.objectContaining({ code: expected });

test('slice and at are views that in-place methods write through', async () => {
  const t = Tensor.zeros([2, 3]);
  t.at(0).fill(1);
  t.slice(null, -1).addInPlace(5);
  t.slice(null, [0, 2]).mulInPlace(Tensor.from([[2], [3]]));
  expect(await t.toArray()).toEqual([
    [2, 2, 6],
    [0, 0, 5],
  ]);
  t.at(1, 0).copyFrom(t.at(0, 2));
  expect(await t.at(1).toArray()).toEqual([6, 0, 5]);
  const rows = Tensor.from([1, 2, 3, 4]);
  rows.slice([1]).copyFrom(rows.slice([0, 3]));
  expect(await rows.toArray()).toEqual([1, 1, 2, 3]);
});

test('transposed views reshape by copying only when they must', async () => {
  const t = Tensor.from([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(await t.transpose(0, 1).toArray()).toEqual([
    [1, 4],
    [2, 5],
    [3, 6],
  ]);
  expect(await t.transpose(0, 1).reshape([-1]).toArray()).toEqual([1, 4, 2, 5, 3, 6]);
  const view = t.reshape([3, 2]);
  view.at(0).fill(9);
  expect(await t.at(0).toArray()).toEqual([9, 9, 3]);
  const middle = Tensor.zeros([2, 1, 3]).transpose(0, 1).reshape([2, 3]);
  expect(middle.shape).toEqual([2, 3]);
});

test('scope frees what was made inside, but what is returned', async () => {
  let inner: Tensor | undefined;
  const kept = scope(() => {
    inner = Tensor.ones([2]);
    return { result: inner.add(1) };
  });
  expect(await kept.result.toArray()).toEqual([2, 2]);
  expect(() => inner?.add(1)).toThrow(code('ERR_DISPOSED'));
  expect(() => scope(() => Promise.resolve(1))).toThrow(code('ERR_INVALID_ARGUMENT'));
  const outer = scope(() => scope(() => Tensor.ones([1])).add(1));
  expect(await outer.toArray()).toEqual([2]);
});

test('dispose is safe to repeat, during flight, and final', async () => {
  const a = Tensor.ones([1000]);
  const b = a.add(1);
  a.dispose();
  a.dispose();
  expect((await b.data())[999]).toBe(2);
  for (const use of [
    () => a.add(1),
    () => b.add(a),
    () => a.reshape([10, 100]),
    () => a.fill(0),
    () => a.dataSync(),
  ]) {
    expect(use).toThrow(code('ERR_DISPOSED'));
  }
  // ...and through what is async, as a rejection or a throw, never silence
  await expect((async () => a.data())()).rejects.toThrow(code('ERR_DISPOSED'));
});

test('every array type and duck-typed tensor is taken', async () => {
  expect(await Tensor.from(new Float64Array([0.5, 2])).toArray()).toEqual([0.5, 2]);
  expect(Tensor.from(new Int32Array([1, 2])).dtype).toBe('int32');
  expect(await Tensor.from(new BigInt64Array([3n, -4n])).toArray()).toEqual([3, -4]);
  expect(await Tensor.from(new Uint16Array([0x3c00, 0xc000])).toArray()).toEqual([1, -2]);
  expect(
    await Tensor.from(new Uint16Array([0x3f80]), [1], { dtype: 'bfloat16' }).toArray(),
  ).toEqual([1]);
  const foreign = { data: new Float32Array([1, 2, 3, 4]), dims: [2, 2], type: 'float32' };
  expect(await toTensor(foreign).toArray()).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(await Tensor.ones([2, 2]).add(foreign).sum().item()).toBe(14);
  expect(
    await toTensor({ data: new Uint16Array([0x3f80]), shape: [1], dtype: 'bfloat16' }).toArray(),
  ).toEqual([1]);
  const shared = new Float32Array(new SharedArrayBuffer(8));
  shared.set([7, 8]);
  expect(await Tensor.from(shared).toArray()).toEqual([7, 8]);
});

test('bad input gets a typed error that says what to do', async () => {
  const t = Tensor.ones([2, 3]);
  const detached = new Float32Array(6);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const cases: [string, () => unknown][] = [
    ['ERR_SHAPE', () => Tensor.from(new Float32Array(5), [2, 3])],
    ['ERR_SHAPE', () => Tensor.from(detached, [6])],
    ['ERR_SHAPE', () => Tensor.from([[1, 2], [3]])],
    ['ERR_SHAPE', () => Tensor.zeros([-1])],
    ['ERR_SHAPE', () => Tensor.zeros([2 ** 52, 2 ** 52])],
    ['ERR_SHAPE', () => Tensor.zeros(Array(9).fill(1))],
    ['ERR_OUT_OF_MEMORY', () => Tensor.zeros([2 ** 50])],
    ['ERR_SHAPE', () => t.add(Tensor.ones([4]))],
    ['ERR_SHAPE', () => t.matmul(Tensor.ones([2, 3]))],
    ['ERR_SHAPE', () => t.reshape([4])],
    ['ERR_SHAPE', () => t.at(2)],
    ['ERR_SHAPE', () => t.at(0, 0, 0)],
    ['ERR_SHAPE', () => t.sum(2)],
    ['ERR_SHAPE', () => t.transpose(0, 5)],
    ['ERR_SHAPE', () => Tensor.zeros([0]).max()],
    ['ERR_INVALID_ARGUMENT', () => t.topk(4)],
    ['ERR_INVALID_ARGUMENT', () => t.topk(0)],
    ['ERR_INVALID_ARGUMENT', () => t.add({} as never)],
    ['ERR_INVALID_ARGUMENT', () => t.add({ data: 'x', shape: [1] } as never)],
    ['ERR_DTYPE', () => Tensor.from(new Uint8Array(4) as never)],
    ['ERR_DTYPE', () => Tensor.zeros([1], { dtype: 'float8' as never })],
    ['ERR_DEVICE', () => Tensor.zeros([1], { device: 'tpu' as never })],
    ['ERR_DEVICE', () => Tensor.zeros([1], { device: 'cuda:99' })],
  ];
  for (const [expected, act] of cases) {
    let caught: unknown;
    try {
      act();
    } catch (error) {
      caught = error;
    }
    expect(caught, act.toString()).toBeInstanceOf(MonosemError);
    expect(caught, act.toString()).toMatchObject({ code: expected });
    expect((caught as Error).message.length).toBeGreaterThan(20);
  }
  await expect(t.item()).rejects.toThrow(code('ERR_SHAPE'));
});

test('empty tensors work', async () => {
  const empty = Tensor.zeros([0, 3]);
  expect(await empty.add(1).toArray()).toEqual([]);
  expect(await empty.sum().item()).toBe(0);
  expect(await empty.sum(0).toArray()).toEqual([0, 0, 0]);
  expect((await empty.matmul(Tensor.ones([3, 2])).data()).length).toBe(0);
  expect(
    await Tensor.ones([2, 0])
      .matmul(Tensor.ones([0, 2]))
      .toArray(),
  ).toEqual([
    [0, 0],
    [0, 0],
  ]);
});
