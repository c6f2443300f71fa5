/** Random SAEs of random shapes against a plain float64 reference. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SAE } from '../../lib/sae/sae.js';
import { Tensor } from '../../lib/tensor.js';
import { numbers } from '../support/golden.js';
import { type Reference, type ReferenceToken, referenceToken } from '../support/sae_reference.js';

const ARCHITECTURES = [
  'standard',
  'gated',
  'jumprelu',
  'topk',
  'transcoder',
  'jumprelu_transcoder',
  'skip_transcoder',
  'jumprelu_skip_transcoder',
];

interface Case {
  readonly reference: Reference;
  readonly tokens: number;
  readonly x: Float32Array;
}

/** Numbers from a seed, near normal: the generator of the case, not of the library. */
function generator(seed: number): (count: number, scale?: number) => Float32Array {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return (count, scale = 1) =>
    Float32Array.from(
      { length: count },
      () => (uniform() + uniform() + uniform() - 1.5) * 2 * scale,
    );
}

const cases = (architecture: string): fc.Arbitrary<Case> =>
  fc
    .record({
      seed: fc.integer(),
      dIn: fc.integer({ min: 2, max: 70 }),
      dSae: fc.integer({ min: 1, max: 150 }),
      dOut: fc.integer({ min: 1, max: 40 }),
      tokens: fc.integer({ min: 1, max: 9 }),
      k: fc.integer({ min: 1, max: 150 }),
      rescale: fc.boolean(),
      applyBDecToInput: fc.boolean(),
      normalize: fc.constantFrom('none', 'constant_norm_rescale', 'layer_norm'),
    })
    .map(({ seed, dIn, dSae, tokens, k, ...rest }) => {
      const normal = generator(seed);
      const isTranscoder = architecture.includes('transcoder');
      const dOut = isTranscoder ? rest.dOut : dIn;
      const weights: Record<string, Float32Array> = {
        W_enc: normal(dIn * dSae, 1 / Math.sqrt(dIn)),
        W_dec: normal(dSae * dOut),
        b_dec: normal(dOut, 0.3),
      };
      const vectors = architecture === 'gated' ? ['b_gate', 'r_mag', 'b_mag'] : ['b_enc'];
      if (architecture.startsWith('jumprelu')) vectors.push('threshold');
      for (const name of vectors) weights[name] = normal(dSae, 0.5);
      if (architecture.includes('skip')) weights.W_skip = normal(dOut * dIn, 0.5);
      const reference = {
        ...rest,
        ...{ architecture, dIn, dSae, dOut, weights },
        k: Math.min(k, dSae),
        applyBDecToInput: rest.applyBDecToInput && !isTranscoder,
      };
      return { reference, tokens, x: normal(tokens * dIn, 2) };
    });

function build({ reference }: Case): SAE {
  const { architecture, dIn, dSae, dOut, weights } = reference;
  const shapes: Record<string, number[]> = {
    W_enc: [dIn, dSae],
    W_dec: [dSae, dOut],
    b_dec: [dOut],
    W_skip: [dOut, dIn],
  };
  return new SAE({
    cfgDict: {
      architecture,
      d_in: dIn,
      d_sae: dSae,
      ...(architecture.includes('transcoder') ? { d_out: dOut } : {}),
      ...(architecture === 'topk'
        ? { k: reference.k, rescale_acts_by_decoder_norm: reference.rescale }
        : {}),
      normalize_activations: reference.normalize,
      apply_b_dec_to_input: reference.applyBDecToInput,
      metadata: {},
    },
    weights: Object.fromEntries(
      Object.entries(weights).map(([name, data]) => [
        name,
        Tensor.from(data, shapes[name] ?? [dSae]),
      ]),
    ),
  });
}

function expected({ reference, tokens, x }: Case): ReferenceToken[] {
  const { dIn } = reference;
  return Array.from({ length: tokens }, (_, t) =>
    referenceToken(reference, x.subarray(t * dIn, (t + 1) * dIn)),
  );
}

/** Values agree; a feature may be on in one and off in the other only right at its threshold. */
function expectActivations(actual: Float64Array, tokens: ReferenceToken[]): boolean {
  const scale = Math.max(1, ...tokens.flatMap(({ f }) => f));
  let flipped = false;
  tokens.forEach(({ f, margin, condition }, t) => {
    const tolerance = 1e-5 * condition;
    f.forEach((want, i) => {
      const got = actual[t * f.length + i] as number;
      if (Math.abs(got - want) <= tolerance * scale) return;
      expect(margin[i], `feature ${i} of token ${t}: ${got}, expected ${want}`).toBeLessThan(
        tolerance,
      );
      flipped = true;
    });
  });
  return flipped;
}

function expectClose(actual: Float64Array, wanted: number[], condition = 1): void {
  const scale = Math.max(1, ...wanted.map(Math.abs)) * condition;
  wanted.forEach((want, i) => {
    expect(Math.abs((actual[i] as number) - want)).toBeLessThanOrEqual(2e-5 * scale);
  });
}

describe.each(ARCHITECTURES)('%s', (architecture) => {
  it('matches the float64 reference', async () => {
    await fc.assert(
      fc.asyncProperty(cases(architecture), async (drawn) => {
        const { reference, tokens, x } = drawn;
        const wanted = expected(drawn);
        const condition = Math.max(...wanted.map((token) => token.condition));
        using sae = build(drawn);
        using input = Tensor.from(x, [tokens, reference.dIn]);
        using acts = await sae.encode(input);
        using dense = acts.dense();
        if (expectActivations(await numbers(dense), wanted)) return;
        using decoded = await sae.decode(acts);
        expectClose(
          await numbers(decoded),
          wanted.flatMap((token) => token.decoded),
          condition,
        );
        using forward = await sae.forward(input);
        expectClose(
          await numbers(forward),
          wanted.flatMap((token) => token.forward),
          condition,
        );
      }),
      { numRuns: 60 },
    );
  });

  it('folds decoder norms and input scales without changing reconstructions', async () => {
    await fc.assert(
      fc.asyncProperty(cases(architecture), async (drawn) => {
        const { reference, tokens, x } = drawn;
        fc.pre(reference.architecture !== 'topk' || reference.rescale);
        fc.pre(reference.normalize === 'none');
        using sae = build(drawn);
        using input = Tensor.from(x, [tokens, reference.dIn]);
        using before = await sae.forward(input);
        sae.foldWDecNorm();
        const norms = await numbers(sae.W_dec.norm(1));
        for (const norm of norms) expect(Math.abs(norm - 1)).toBeLessThan(1e-5);
        using after = await sae.forward(input);
        expectClose(await numbers(after), [...(await numbers(before))]);
      }),
      { numRuns: 20 },
    );
  });
});

it('reads scaled inputs after folding their scale', async () => {
  await fc.assert(
    fc.asyncProperty(
      cases('jumprelu'),
      fc.double({ min: 0.1, max: 10, noNaN: true }),
      async (drawn, factor) => {
        const { reference, tokens, x } = drawn;
        fc.pre(reference.normalize === 'none');
        using plain = build(drawn);
        using folded = build(drawn);
        folded.foldActivationNormScalingFactor(factor);
        using input = Tensor.from(x, [tokens, reference.dIn]);
        using scaled = input.mul(factor);
        using expectedActs = await plain.encode(scaled);
        using acts = await folded.encode(input);
        // W_enc * s makes x @ W_enc see s * x; b_dec / s keeps the centre
        const wanted = await numbers(expectedActs.dense());
        const got = await numbers(acts.dense());
        const scale = Math.max(1, ...wanted);
        const off = got.filter(
          (value, i) => Math.abs(value - (wanted[i] as number)) > 1e-4 * scale,
        );
        expect(off.length).toBeLessThanOrEqual(1);
        expect(folded.cfg.normalizeActivations).toBe('none');
      },
    ),
    { numRuns: 30 },
  );
});
