import { describe, expect, it } from 'vitest';
import { floors } from '../../bench/limits.mjs';
import { choose, trials } from '../../bench/trials.mjs';

describe("the bench's trials", () => {
  it('have names of their own', () => {
    const names = trials.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it('are the core without words, and with words those that have them all', () => {
    const core = choose([]);
    expect(core.length).toBeGreaterThan(20);
    expect(core.length).toBeLessThan(60);
    expect(choose(['encode', '2304x65536', 'b2048', 'l20'])).toHaveLength(1);
    expect(choose(['linear']).map(({ operation }) => operation)).toContain('linear');
    expect(choose(['b7'])).toEqual([]);
  });

  it('cover every shape, batch and sparsity asked for, and up to 262,144 features', () => {
    for (const shape of ['768x24576', '2304x16384', '2304x65536', '4096x32768']) {
      for (const batch of ['b1', 'b32', 'b512', 'b2048']) {
        for (const sparsity of ['l20', 'l100', 'l200']) {
          expect(choose(['encode', shape, batch, sparsity])).not.toEqual([]);
        }
      }
    }
    expect(Math.max(...trials.map(({ dSae }) => dSae))).toBe(262144);
  });
});

describe('the limit of a trial', () => {
  const limits = { isa: 'avx512', float32: 200e9, int8: 800e9, bytesPerSecond: 40e9 };
  const shape = { dIn: 1000, dSae: 10000, batch: 1000 };

  it('is arithmetic at large batches and bytes at small ones', () => {
    const row = { path: 'float32 fused', l0: 100, stats: { candidates: 100 } };
    const large = floors({ operation: 'encode', ...shape }, row, limits);
    expect(large.float32).toBeCloseTo(100); // 2e10 operations
    expect(large.path).toBe(large.float32);
    const small = floors({ operation: 'encode', ...shape, batch: 1 }, row, limits);
    expect(small.float32).toBeCloseTo(1); // 4e7 bytes
  });

  it("is the integer unit's and the refine's for a screen, twice for two digits", () => {
    const stats = { candidates: 100 };
    const refine = 1; // 2e8 operations, more than 4e7 bytes take
    const one = { path: 'int8 screen + refine', l0: 50, stats };
    const two = { path: 'int8 x 14-bit screen + refine', l0: 50, stats };
    const trial = { operation: 'encode', ...shape };
    expect(floors(trial, one, limits).path).toBeCloseTo(25 + refine);
    expect(floors(trial, two, limits).path).toBeCloseTo(50 + refine);
  });

  it('has the rows of the active features for a decoder', () => {
    const row = { path: 'sparse rows', l0: 5, stats: undefined };
    const { path } = floors({ operation: 'decode', ...shape, batch: 10 }, row, limits);
    expect(path).toBeCloseTo(0.005); // 50 rows of 4000 bytes
  });
});
