/** Properties of the native readers, against zlib and against plain gathering. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { LocalWeightsFile } from '../../lib/loaders/weights_file.js';
import { npz, torchCheckpoint } from '../support/archives.js';

const root = mkdtempSync(join(tmpdir(), 'monosem-readers-'));
afterAll(() => rmSync(root, { recursive: true }));

/** Numbers of so many kinds: few make long matches, many make literals. */
function values(length: number, kinds: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 8) % kinds) / 7 - 3;
  });
}

test('npz: whatever zlib deflates comes back', async () => {
  const path = join(root, 'x.npz');
  const strategies = [
    constants.Z_DEFAULT_STRATEGY,
    constants.Z_FILTERED,
    constants.Z_HUFFMAN_ONLY,
    constants.Z_RLE,
    constants.Z_FIXED,
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 60_000 }),
      fc.constantFrom(1, 2, 30, 5000, 2 ** 24),
      fc.integer(),
      fc.integer({ min: 0, max: 9 }),
      fc.constantFrom(...strategies),
      async (length, kinds, seed, level, strategy) => {
        const data = values(length, kinds, seed);
        const deflate = { level, strategy };
        writeFileSync(path, npz({ w: { shape: [length], data } }, { deflate }));
        const file = new LocalWeightsFile(path, path, 'npz');
        const tensor = await file.load('w', 'float32', 'cpu', false);
        expect(Buffer.compare(Buffer.from(bytes(await tensor.data())), bytes(data))).toBe(0);
        tensor.dispose();
        file.dispose();
      },
    ),
    { numRuns: 120 },
  );
});

const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  Buffer.from(buffer, byteOffset, byteLength);

/** A window that fits into its storage: sizes, strides in elements, an offset. */
const view = fc
  .array(
    fc.record({ size: fc.integer({ min: 1, max: 70 }), stride: fc.integer({ min: 0, max: 75 }) }),
    {
      maxLength: 4,
    },
  )
  .filter((dims) => dims.reduce((n, { size }) => n * size, 1) < 20_000)
  .chain((dims) => {
    const reach = dims.reduce((n, { size, stride }) => n + (size - 1) * stride, 0);
    const elements = dims.reduce((n, { size }) => n * size, 1);
    return fc.record({
      dims: fc.constant(dims),
      offset: fc.integer({ min: 0, max: 9 }),
      length: fc.constant(Math.max(reach + 10, elements + 10)),
      seed: fc.integer(),
    });
  });

function gathered(
  data: Float32Array,
  sizes: number[],
  strides: number[],
  offset: number,
): number[] {
  const [size, ...sizesLeft] = sizes;
  if (size === undefined) return [data[offset] as number];
  const [stride = 0, ...stridesLeft] = strides;
  return Array.from({ length: size }, (_, i) =>
    gathered(data, sizesLeft, stridesLeft, offset + i * stride),
  ).flat();
}

test('torch: views of any sizes and strides', async () => {
  const path = join(root, 'x.pt');
  await fc.assert(
    fc.asyncProperty(view, async ({ dims, offset, length, seed }) => {
      const data = values(length, 1000, seed);
      const shape = dims.map(({ size }) => size);
      const strides = dims.map(({ stride }) => stride);
      writeFileSync(path, torchCheckpoint({ w: { shape, data, strides, offset } }));
      const file = new LocalWeightsFile(path, path, 'torch');
      const expected = gathered(data, shape, strides, offset);
      const tensor = await file.load('w', 'float32', 'cpu', false);
      expect([...tensor.shape]).toEqual(shape);
      expect([...(await tensor.data())]).toEqual(expected);
      if (shape.length === 2) {
        const turned = await file.load('w', 'float32', 'cpu', true);
        const [rows = 0, columns = 0] = shape;
        expect([...turned.shape]).toEqual([columns, rows]);
        expect([...(await turned.transpose(0, 1).data())]).toEqual(expected);
        turned.dispose();
      }
      tensor.dispose();
      file.dispose();
    }),
    { numRuns: 200 },
  );
});

test('torch: a view that leaves its storage by one element is refused', async () => {
  const path = join(root, 'beyond.pt');
  const data = new Float32Array(24);
  const open = (shape: number[], strides: number[], offset: number) => {
    writeFileSync(path, torchCheckpoint({ w: { shape, data, strides, offset } }));
    new LocalWeightsFile(path, path, 'torch').dispose();
  };
  expect(() => open([4, 6], [6, 1], 0)).not.toThrow();
  expect(() => open([3, 6], [6, 1], 6)).not.toThrow();
  expect(() => open([4, 6], [6, 1], 1)).toThrow(/within its storage/);
  expect(() => open([5, 1], [6, 1], 0)).toThrow(/within its storage/);
  expect(() => open([25], [0], 0)).toThrow(/within its storage/);
  expect(() => open([2, 2], [2 ** 30, 2 ** 30], 0)).toThrow(/within its storage/);
});
