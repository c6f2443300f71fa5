import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SAE, Tensor } from '../../lib/index.js';
import { root } from '../support/run.js';

const folder = join(root, 'assets', 'demo', 'saes');

describe.each(['blocks.1.hook_resid_post', 'blocks.2.hook_resid_post'])(
  'the demo SAE of %s',
  (name) => {
    // Batches on both sides of where the encoder changes its path.
    it.each([1, 9, 33, 300])(
      'has one active set under every precision, %i tokens',
      async (tokens) => {
        using sae = await SAE.loadFromDisk(join(folder, name));
        using x = Tensor.randn([tokens, sae.cfg.dIn], { seed: tokens }).mul(3);
        using expected = await sae.encode(x, { precision: 'float32' });
        const wanted = await expected.csr();
        for (const precision of ['strict', 'certified'] as const) {
          using acts = await sae.encode(x, { precision });
          const { rowOffsets, indices, values } = await acts.csr();
          expect(rowOffsets).toEqual(wanted.rowOffsets);
          expect(indices).toEqual(wanted.indices);
          const tolerance = precision === 'strict' ? 1e-5 : 0.05;
          values.forEach((value, i) => {
            expect(Math.abs(value - wanted.values[i]!)).toBeLessThan(
              tolerance * (1 + Math.abs(value)),
            );
          });
        }
      },
    );
  },
);
