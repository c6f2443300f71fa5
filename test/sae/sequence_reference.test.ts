/** Random matching pursuit and temporal SAEs against a plain float64 reference. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import { relativeError } from '../support/golden.js';
import {
  type Matrix,
  matchingPursuit,
  type TemporalLayer,
  temporal,
} from '../support/sequence_reference.js';

/** Rows of numbers from a seed, as the tensor holds them. */
function random(shape: readonly [number, number], seed: number, scale = 1): Matrix {
  using tensor = Tensor.randn(shape, { seed, device: 'cpu' });
  const data = tensor.dataSync();
  return Array.from({ length: shape[0] }, (_, i) =>
    Array.from(data.subarray(i * shape[1], (i + 1) * shape[1]), (x) => Math.fround(x * scale)),
  );
}

it('matching pursuit chooses the same features and values', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(2 ** 30),
        dIn: fc.integer({ min: 2, max: 24 }),
        dSae: fc.integer({ min: 1, max: 40 }),
        tokens: fc.integer({ min: 1, max: 4 }),
        iterations: fc.option(fc.integer({ min: 1, max: 12 })),
        threshold: fc.constantFrom(0, 0.05, 1),
        onDuplicate: fc.boolean(),
      }),
      async ({ seed, dIn, dSae, tokens, iterations, threshold, onDuplicate }) => {
        const W_dec = random([dSae, dIn], seed).map((row) => {
          const length = Math.hypot(...row);
          return row.map((value) => Math.fround(value / length));
        });
        const x = random([tokens, dIn], seed + 1, 2);
        const stop = { iterations: iterations ?? dIn, threshold, onDuplicate };
        const wanted = x.map((row) => matchingPursuit(row, W_dec, stop));
        fc.pre(wanted.every(({ margin }) => margin > 1e-4));
        using sae = new SAE({
          cfgDict: {
            architecture: 'matching_pursuit',
            ...{ d_in: dIn, d_sae: dSae, apply_b_dec_to_input: false, max_iterations: iterations },
            ...{ residual_threshold: threshold, stop_on_duplicate_support: onDuplicate },
            metadata: {},
          },
          weights: { W_dec: Tensor.from(W_dec), b_dec: Tensor.ones([dIn]) },
        });
        using input = Tensor.from(x);
        using acts = await sae.encode(input);
        const got = await acts.dense().data();
        expect(
          relativeError(
            got,
            wanted.flatMap(({ f }) => f),
          ),
        ).toBeLessThan(1e-4);
      },
    ),
    { numRuns: 60 },
  );
});

it('temporal SAEs find the same novel part and prediction', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(2 ** 30),
        dIn: fc.integer({ min: 2, max: 12 }),
        heads: fc.constantFrom(1, 2),
        width: fc.integer({ min: 1, max: 3 }),
        bottleneck: fc.constantFrom(1, 2, 4),
        layers: fc.integer({ min: 1, max: 2 }),
        length: fc.integer({ min: 1, max: 6 }),
        tied: fc.boolean(),
      }),
      async ({ seed, dIn, heads, width, bottleneck, layers: count, length, tied }) => {
        const dSae = heads * width * bottleneck;
        const embedding = heads * width;
        const W_dec = random([dSae, dIn], seed);
        const W_enc = tied
          ? Array.from({ length: dIn }, (_, i) => W_dec.map((row) => row[i] as number))
          : random([dIn, dSae], seed + 1);
        const b_dec = random([1, dIn], seed + 2)[0] as number[];
        const linear = (out: number, into: number, salt: number) => ({
          weight: random([out, into], seed + salt),
          bias: random([1, out], seed + salt + 1)[0] as number[],
        });
        const layers = Array.from({ length: count }, (_, i): TemporalLayer => {
          const salt = 10 + i * 10;
          return {
            q_target: linear(embedding, dSae, salt),
            k_ctx: linear(embedding, dSae, salt + 2),
            v_ctx: linear(dSae, dSae, salt + 4),
            c_proj: linear(dSae, dSae, salt + 6),
          };
        });
        const x = random([length, dIn], seed + 3, 4);
        const wanted = temporal(x, { W_enc, W_dec, b_dec, heads, layers });
        using sae = new SAE({
          cfgDict: {
            architecture: 'temporal',
            ...{ d_in: dIn, d_sae: dSae, n_heads: heads, n_attn_layers: count },
            ...{ bottleneck_factor: bottleneck, sae_diff_type: 'relu', tied_weights: tied },
            metadata: {},
          },
          weights: {
            W_dec: Tensor.from(W_dec),
            b_dec: Tensor.from(b_dec),
            ...(tied ? {} : { W_enc: Tensor.from(W_enc) }),
            ...Object.fromEntries(
              layers.flatMap((layer, i) =>
                Object.entries(layer).flatMap(([name, { weight, bias }]) => [
                  [`attn_layers.${i}.${name}.weight`, Tensor.from(weight)],
                  [`attn_layers.${i}.${name}.bias`, Tensor.from(bias)],
                ]),
              ),
            ),
          },
        });
        using input = Tensor.from([x]);
        using acts = await sae.encode(input);
        expect(relativeError(await acts.dense().data(), wanted.novel.flat())).toBeLessThan(1e-4);
        using forward = await sae.forward(input);
        expect(relativeError(await forward.data(), wanted.forward.flat())).toBeLessThan(1e-4);
      },
    ),
    { numRuns: 60 },
  );
});
