import { expect } from 'vitest';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import { relativeError } from './golden.js';

// SAEs of random weights that fit test/fixtures/models/gpt2, and what their tests share.

export const D_MODEL = 32;
export const D_SAE = 40;
export const IDS = [
  [5, 9, 2, 60, 31],
  [1, 1, 8, 40, 3],
];
export const POINT = 'blocks.1.hook_resid_pre';

export const code = (expected: string, message?: RegExp) =>
  expect.objectContaining({
    code: expected,
    ...(message && { message: expect.stringMatching(message) }),
  });

interface Wishes {
  readonly metadata?: Record<string, unknown>;
  readonly cfg?: Record<string, unknown>;
  readonly dIn?: number;
  readonly seed?: number;
}

/** An SAE of random weights. */
export function makeSae({ metadata = {}, cfg = {}, dIn = D_MODEL, seed = 1 }: Wishes = {}): SAE {
  const transcoder = String(cfg.architecture ?? '').includes('transcoder');
  return new SAE({
    cfgDict: {
      architecture: 'standard',
      d_in: dIn,
      d_sae: D_SAE,
      ...(transcoder ? { d_out: D_MODEL, apply_b_dec_to_input: false } : {}),
      metadata: { hook_name: POINT, ...metadata },
      ...cfg,
    },
    weights: {
      W_enc: Tensor.randn([dIn, D_SAE], { seed }),
      b_enc: Tensor.randn([D_SAE], { seed: seed + 1 }),
      W_dec: Tensor.randn([D_SAE, transcoder ? D_MODEL : dIn], { seed: seed + 2 }),
      b_dec: Tensor.randn([transcoder ? D_MODEL : dIn], { seed: seed + 3 }),
    },
  });
}

export const data = async (tensor: Tensor | Promise<Tensor>) => (await tensor).data();
export async function close(actual: Tensor | Promise<Tensor>, wanted: Tensor | Promise<Tensor>) {
  expect(relativeError(await data(actual), await data(wanted))).toBeLessThan(1e-5);
}
