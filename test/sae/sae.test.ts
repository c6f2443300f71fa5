import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SAE } from '../../lib/sae/sae.js';
import { scope } from '../../lib/scope.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, type GoldenTensor, readGolden, relativeError } from '../support/golden.js';

const path = (folder: string) => fixture(`sae/${folder}`);
const code = (expected: string, message?: RegExp) =>
  expect.objectContaining({
    code: expected,
    ...(message && { message: expect.stringMatching(message) }),
  });

describe('bad input', () => {
  it('has another width, rank or device', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    const wide = { data: new Float32Array(100), shape: [2, 50] };
    const message = /expects \[\.\.\., d_in\] with d_in = 48, got \[2,50\]/;
    await expect(sae.encode(wide)).rejects.toThrow(code('ERR_SHAPE', message));
    await expect(sae.forward(wide)).rejects.toThrow(code('ERR_SHAPE', message));
    await expect(sae.decode(wide)).rejects.toThrow(code('ERR_SHAPE', /192/));
    await expect(sae.encode(Tensor.from(1))).rejects.toThrow(code('ERR_SHAPE'));
    using heads = await SAE.loadFromDisk(path('standard_hook_z'));
    const four = { data: new Float32Array(2 * 5 * 12), shape: [2, 5, 12] };
    await expect(heads.encode(four)).rejects.toThrow(code('ERR_SHAPE', /n_heads, d_head/));
    using temporal = await SAE.loadFromDisk(path('temporal'));
    const flat = { data: new Float32Array(48), shape: [1, 48] };
    await expect(temporal.encode(flat)).rejects.toThrow(code('ERR_SHAPE', /\[batch, pos, 48\]/));
    await expect(sae.encode({} as never)).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
    await expect(sae.encode('text' as never)).rejects.toThrow(code('ERR_INVALID_ARGUMENT'));
  });

  it('names hook points that do not exist or do not fire', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    using x = Tensor.zeros([1, 48]);
    const hook = (name: string) => sae.runWithHooks(x, { fwdHooks: [[name, () => {}]] });
    await expect(hook('hook_sae_act_post')).rejects.toThrow(code('ERR_HOOK', /hook_sae_acts_post/));
    await expect(hook('hook_sae_error')).rejects.toThrow(code('ERR_HOOK', /useErrorTerm/));
    expect(await hook('blocks.1.hook_resid_post.hook_sae_recons')).toBeInstanceOf(Tensor);
    using transcoder = await SAE.loadFromDisk(path('transcoder'));
    await expect(
      transcoder.runWithHooks(x, { fwdHooks: [['hook_sae_output', () => {}]] }),
    ).rejects.toThrow(code('ERR_HOOK', /attached/));
    const wrong = ['hook_sae_recons', () => Tensor.zeros([1, 3])] as const;
    await expect(sae.runWithHooks(x, { fwdHooks: [wrong] })).rejects.toThrow(
      code('ERR_SHAPE', /hook_sae_recons.* of shape \[1,48\]/),
    );
  });

  it('is a bare tensor where decoding needs the statistics of encode', async () => {
    for (const name of ['standard_layer_norm', 'standard_constant_norm_rescale']) {
      using sae = await SAE.loadFromDisk(path(name));
      const dense = { data: new Float32Array(192), shape: [1, 192] };
      await expect(sae.decode(dense)).rejects.toThrow(
        code('ERR_INVALID_ARGUMENT', /statistics of encode/),
      );
    }
  });

  it('cannot be folded', async () => {
    for (const name of ['topk', 'temporal', 'matching_pursuit']) {
      using sae = await SAE.loadFromDisk(path(name));
      expect(() => sae.foldWDecNorm()).toThrow(code('ERR_UNSUPPORTED'));
      if (name === 'topk') continue;
      expect(() => sae.foldActivationNormScalingFactor(2)).toThrow(code('ERR_UNSUPPORTED'));
    }
    using sae = await SAE.loadFromDisk(path('standard'));
    for (const bad of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => sae.foldActivationNormScalingFactor(bad)).toThrow(code('ERR_INVALID_ARGUMENT'));
    }
  });
});

describe('statistics', () => {
  it('travel with slices and clones, so decode is pure', async () => {
    for (const name of [
      'standard_layer_norm',
      'standard_constant_norm_rescale',
      'topk_layer_norm',
    ]) {
      using sae = await SAE.loadFromDisk(path(name));
      const golden = readGolden(join(path(name), 'io.safetensors'));
      const { values, shape } = golden.get('x') as GoldenTensor;
      using x = Tensor.from(Float32Array.from(values), shape);
      using acts = await sae.encode(x);
      using whole = await sae.decode(acts);
      using part = acts.slice(-1, [2, 5]);
      using clone = part.clone();
      part.dispose();
      using decoded = await sae.decode(clone);
      using wanted = whole.slice(-1, [2, 5]);
      expect(decoded.shape).toEqual(wanted.shape);
      expect(relativeError(await decoded.data(), await wanted.data())).toBeLessThan(1e-6);
    }
  });

  it('tell what the last encode did', async () => {
    using sae = await SAE.loadFromDisk(path('jumprelu'));
    expect(sae.stats()).toEqual({});
    using x = Tensor.randn([5, 48], { seed: 1 });
    using acts = await sae.encode(x);
    const { path: taken, tokens, active, ...others } = sae.stats();
    expect(taken).toEqual(expect.any(String));
    expect(tokens).toBe(5);
    expect(active).toBeCloseTo((await acts.nnz()) / 5, 5);
    const { float32PanelsBytes, screenBytes, rowsBytes, float16PlanesBytes } = others as Record<
      string,
      number
    >;
    expect(others.planBytes).toBe(
      Number(float32PanelsBytes) +
        Number(screenBytes) +
        Number(rowsBytes) +
        Number(float16PlanesBytes),
    );
  });
});

describe('disposal and aborting', () => {
  it('throws after dispose; dispose in flight is safe, and twice', async () => {
    const sae = await SAE.loadFromDisk(path('jumprelu'));
    using x = Tensor.randn([64, 48], { seed: 1 });
    const flying = sae.encode(x);
    sae.dispose();
    sae.dispose();
    using acts = await flying;
    expect(await acts.nnz()).toBeGreaterThan(0);
    await expect(sae.encode(x)).rejects.toThrow(code('ERR_DISPOSED', /load it again/));
    await expect(sae.decode(acts)).rejects.toThrow(code('ERR_DISPOSED'));
    expect(() => sae.W_enc).toThrow(code('ERR_DISPOSED'));
    expect(() => sae.to({ dtype: 'float16' })).toThrow(code('ERR_DISPOSED'));
  });

  it('ends an encode whose signal is aborted, before or during', async () => {
    using sae = await SAE.loadFromDisk(path('jumprelu'));
    using x = Tensor.randn([20000, 48], { seed: 1 });
    const reason = new Error('enough');
    await expect(sae.encode(x, { signal: AbortSignal.abort(reason) })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_ABORTED', cause: reason }),
    );
    const control = new AbortController();
    const flying = sae.encode(x, { signal: control.signal });
    control.abort();
    await expect(flying).rejects.toThrow(code('ERR_ABORTED'));
    using acts = await sae.encode(x, { signal: new AbortController().signal });
    expect(acts.shape).toEqual([20000, 192]);
  });

  it('leaves inputs alone, hooks that edit in place included', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    using x = Tensor.randn([3, 48], { seed: 2 });
    const before = await x.data();
    const edit = (input: Tensor) => void input.fill(0);
    sae.useErrorTerm = true;
    using out = await sae.runWithHooks(x, { fwdHooks: [['hook_sae_input', edit]] });
    expect(await x.data()).toEqual(before);
    using encoded = await sae.encode(Tensor.zeros([3, 48]));
    using decoded = await sae.decode(encoded);
    sae.useErrorTerm = false;
    using clean = await sae.forward(x);
    // out = SAE(0) + (x - SAE(x))
    using wanted = decoded.add(x.sub(clean));
    expect(relativeError(await out.data(), await wanted.data())).toBeLessThan(1e-5);
  });

  it.each([
    ['standard', 'W_enc'],
    ['standard', 'b_enc'],
    ['standard', 'b_dec'],
    ['jumprelu', 'threshold'],
    ['topk_rescale', 'W_dec'],
  ] as const)('%s: an edit of %s in place counts from the next pass on', async (name, weight) => {
    using edited = await SAE.loadFromDisk(path(name));
    using fresh = await SAE.loadFromDisk(path(name));
    using x = Tensor.randn([5, 48], { seed: 2 });
    using before = await edited.forward(x);
    for (const sae of [edited, fresh]) (sae[weight] as Tensor).mulInPlace(0.5);
    using after = await edited.forward(x);
    using wanted = await fresh.forward(x);
    expect(await after.data()).toEqual(await wanted.data());
    expect(await after.data()).not.toEqual(await before.data());
  });

  it('finishes an encode whose weights are edited meanwhile, and another begun', async () => {
    const weights = () => ({
      W_dec: Tensor.randn([32, 20], { seed: 5 }),
      b_dec: Tensor.zeros([20]),
    });
    const cfgDict = {
      architecture: 'matching_pursuit',
      d_in: 20,
      d_sae: 32,
      residual_threshold: 1e-9,
      max_iterations: 400,
      stop_on_duplicate_support: false,
      metadata: {},
    };
    using sae = new SAE({ cfgDict, weights: weights() });
    using x = Tensor.randn([4, 20], { seed: 6 });
    const first = sae.encode(x);
    await new Promise(setImmediate); // the first is among its iterations
    sae.W_dec.mulInPlace(1);
    using second = await sae.encode(x);
    using finished = await first;
    expect(await finished.csr()).toEqual(await second.csr());
  });

  it('keeps weights that were edited in place, through encodes and the release of their pages', async () => {
    using sae = await SAE.loadFromDisk(path('standard'));
    sae.W_enc.fill(0);
    using x = Tensor.randn([3, 48], { seed: 2 });
    using acts = await sae.encode(x);
    const b_enc = await (sae.b_enc as Tensor).data();
    expect([...(await acts.dense().at(0).data())]).toEqual(
      Array.from(b_enc, (b) => Math.max(b, 0)),
    );
    expect((await sae.W_enc.data()).every((value) => value === 0)).toBe(true);
  });

  it('does not depend on a scope that is open when it is called', async () => {
    using sae = await SAE.loadFromDisk(path('topk_rescale'));
    using x = Tensor.randn([4, 48], { seed: 3 });
    let late: Promise<Tensor>[] = [];
    scope(() => {
      late = [sae.forward(x), sae.encode(x).then((acts) => sae.decode(acts))];
      expect(sae.W_enc.shape).toEqual([48, 192]);
    });
    const [forward, decoded] = (await Promise.all(late)) as [Tensor, Tensor];
    expect(relativeError(await forward.data(), await decoded.data())).toBeLessThan(1e-6);
    using again = await sae.forward(x);
    expect(await again.data()).toEqual(await forward.data());
  });

  it('runs many at once', async () => {
    using sae = await SAE.loadFromDisk(path('topk'));
    using x = Tensor.randn([4, 48], { seed: 3 });
    using one = await sae.forward(x);
    const expected = await one.data();
    const all = await Promise.all(Array.from({ length: 20 }, () => sae.forward(x)));
    for (const out of all) expect(await out.data()).toEqual(expected);
  });

  it('gives all precisions the same active set', async () => {
    using sae = await SAE.loadFromDisk(path('standard_sparse'));
    using x = Tensor.randn([16, 48], { seed: 4 });
    using strict = await sae.encode(x);
    for (const precision of ['certified', 'float32'] as const) {
      using acts = await sae.encode(x, { precision });
      expect((await acts.csr()).indices).toEqual((await strict.csr()).indices);
    }
    await expect(sae.encode(x, { precision: 'exact' as never })).rejects.toThrow(
      code('ERR_INVALID_ARGUMENT', /strict, certified, fast, float32, got "exact"/),
    );
  });
});
