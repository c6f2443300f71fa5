import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HookPoint } from '../../lib/hooks/types.js';
import { HookedTransformer } from '../../lib/model/hooked_transformer.js';
import type { Tokens } from '../../lib/model/tokens.js';
import { Tensor } from '../../lib/tensor.js';
import { fixture, numbers, relativeError } from '../support/golden.js';

const tokens: Tokens = { ids: Int32Array.of(1, 5, 9, 13, 2, 3), shape: [1, 6] };

function load(family: string): Promise<HookedTransformer> {
  return HookedTransformer.fromPretrainedNoProcessing(fixture(`models/${family}`));
}

describe('hooks on a model', () => {
  let model: HookedTransformer;
  beforeAll(async () => {
    model = await load('gpt2');
  });
  afterAll(() => model.dispose());

  it('replace by what they return, and edit in place, with one result', async () => {
    const name = 'blocks.0.hook_resid_post';
    const returned = await model.runWithHooks(tokens, {
      fwdHooks: [[name, (act: Tensor) => act.mul(2)]],
    });
    const edited = await model.runWithHooks(tokens, {
      fwdHooks: [[name, (act: Tensor) => void act.mulInPlace(2)]],
    });
    const late = await model.runWithHooks(tokens, {
      fwdHooks: [
        [
          name,
          async (act: Tensor) => {
            await act.data();
            return act.mul(2);
          },
        ],
      ],
    });
    const plain = await numbers(await model.forward(tokens));
    expect(await numbers(edited)).toEqual(await numbers(returned));
    expect(await numbers(late)).toEqual(await numbers(returned));
    expect(relativeError(await numbers(returned), plain)).toBeGreaterThan(1e-3);
  });

  it('change attention where they edit scores, pattern, z or head results', async () => {
    const plain = await numbers(await model.forward(tokens));
    for (const point of ['attn_scores', 'pattern', 'z', 'result', 'q', 'k', 'v']) {
      const logits = await model.runWithHooks(tokens, {
        fwdHooks: [[`blocks.1.attn.hook_${point}`, (act: Tensor) => act.mul(0.5)]],
      });
      expect(relativeError(await numbers(logits), plain), point).toBeGreaterThan(1e-6);
    }
  });

  it('ablate a head alike at z and at result', async () => {
    const atZ = await model.runWithHooks(tokens, {
      fwdHooks: [['blocks.0.attn.hook_z', (z: Tensor) => void z.slice(null, null, 2).fill(0)]],
    });
    const atResult = await model.runWithHooks(tokens, {
      fwdHooks: [['blocks.0.attn.hook_result', (r: Tensor) => void r.slice(null, null, 2).fill(0)]],
    });
    expect(relativeError(await numbers(atZ), await numbers(atResult))).toBeLessThan(1e-6);
  });

  it('let a head read another residual at hook_q_input', async () => {
    const shift = Tensor.randn([32], { seed: 3 });
    const one = await model.runWithCache(tokens, { namesFilter: 'blocks.0.attn.hook_q' });
    using _ = model.addHook('blocks.0.hook_q_input', (x) => {
      x.slice(null, null, 1).addInPlace(shift);
    });
    const two = await model.runWithCache(tokens, { namesFilter: 'blocks.0.attn.hook_q' });
    const difference = await numbers(
      two.cache.get('q', 0).sub(one.cache.get('q', 0)).abs().sum(0).sum(0).sum(1),
    );
    expect(difference[1]).toBeGreaterThan(0.01);
    for (const head of [0, 2, 3]) expect(difference[head]).toBeLessThan(1e-4);
  });

  it('leave the residual alone at hook_mlp_in', async () => {
    const { cache } = await model.runWithCache(tokens, {
      namesFilter: ['blocks.0.hook_resid_mid', 'blocks.0.hook_mlp_in'],
    });
    const mid = await numbers(cache.get('resid_mid', 0));
    expect(await numbers(cache.get('mlp_in', 0))).toEqual(mid);
    using _ = model.addHook('blocks.0.hook_mlp_in', (x) => void x.fill(0));
    const after = await model.runWithCache(tokens, {
      namesFilter: (name) => /^blocks.0.hook_(resid|mlp_out)/.test(name),
    });
    expect(await numbers(after.cache.get('resid_mid', 0))).toEqual(mid);
    const post = await numbers(after.cache.get('resid_mid', 0).add(after.cache.get('mlp_out', 0)));
    expect(await numbers(after.cache.get('resid_post', 0))).toEqual(post);
  });

  it('divide by an edited scale', async () => {
    using _ = model.addHook('blocks.0.ln1.hook_scale', (scale) => scale.mul(2));
    const halved = await model.runWithCache(tokens, {
      namesFilter: ['blocks.0.ln1.hook_normalized'],
    });
    model.resetHooks();
    const plain = await model.runWithCache(tokens, { namesFilter: 'blocks.0.ln1.hook_normalized' });
    const want = await numbers(plain.cache.get('normalized', 0, 'ln1').mul(0.5));
    expect(
      relativeError(await numbers(halved.cache.get('normalized', 0, 'ln1')), want),
    ).toBeLessThan(1e-6);
  });

  it('stay until they are removed', async () => {
    let calls = 0;
    const handle = model.addHook('hook_embed', () => void calls++);
    await model.forward(tokens);
    handle.remove();
    await model.forward(tokens);
    model.addHook('hook_embed', () => void calls++);
    const ten = () => {
      calls += 10;
    };
    model.addHook('hook_embed', ten, { permanent: true });
    model.resetHooks();
    await model.forward(tokens);
    model.resetHooks({ includingPermanent: true });
    await model.forward(tokens);
    expect(calls).toBe(11);
  });

  it('come and go together', async () => {
    const plain = await numbers(await model.forward(tokens));
    {
      using _ = model.hooks([
        ['hook_embed', (act: Tensor) => act.mul(2)],
        ['blocks.0.hook_attn_out', (act: Tensor) => act.mul(0)],
      ]);
      expect(await numbers(await model.forward(tokens))).not.toEqual(plain);
    }
    const broken = () =>
      model.hooks([
        ['hook_embed', (act: Tensor) => act.mul(2)],
        ['nothing', () => {}],
      ]);
    expect(broken).toThrowError(/no hook point/);
    expect(await numbers(await model.forward(tokens))).toEqual(plain);
  });

  it('end the run after the last layer looked at when no result is asked for', async () => {
    const seen: string[] = [];
    const watch = (name: string) => [name, () => void seen.push(name)] as const;
    await model.runWithHooks(tokens, {
      returnType: null,
      fwdHooks: [watch('blocks.0.hook_resid_post')],
    });
    const { cache } = await model.runWithCache(tokens, {
      returnType: null,
      namesFilter: (name) => name === 'blocks.0.hook_resid_pre',
    });
    expect(cache.keys()).toEqual(['blocks.0.hook_resid_pre']);
    const stopped = await model.runWithCache(tokens, { stopAtLayer: 1 });
    expect(stopped.logits.shape).toEqual([1, 6, 32]);
    expect(stopped.cache.keys().some((name) => name.startsWith('blocks.1'))).toBe(false);
    expect(stopped.cache.has('ln_final.hook_scale')).toBe(false);
    expect(seen).toEqual(['blocks.0.hook_resid_post']);
  });

  it('of runs in flight at once do not meet', async () => {
    const scaled = (by: number) =>
      model.runWithHooks(tokens, {
        fwdHooks: [
          [
            'blocks.0.hook_resid_post',
            async (act: Tensor) => {
              await new Promise((resolve) => setImmediate(resolve));
              return act.mul(by);
            },
          ],
        ],
      });
    const alone = [await scaled(1), await scaled(2), await scaled(3)];
    const together = await Promise.all([scaled(1), scaled(2), scaled(3), model.forward(tokens)]);
    for (const [i, logits] of alone.entries()) {
      expect(await numbers(together[i] as Tensor)).toEqual(await numbers(logits));
    }
    expect(await numbers(together[3] as Tensor)).toEqual(await numbers(alone[0] as Tensor));
  });

  it('keep snapshots in the cache', async () => {
    const { cache } = await model.runWithCache(tokens, {
      namesFilter: ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_pre'],
    });
    const before = await numbers(cache.get('resid_post', 0));
    using _ = model.addHook('blocks.1.hook_resid_pre', (x) => void x.fill(0));
    const edited = await model.runWithCache(tokens, { namesFilter: (name) => /resid/.test(name) });
    expect(await numbers(edited.cache.get('resid_post', 0))).toEqual(before);
    expect(Math.max(...(await numbers(edited.cache.get('resid_pre', 1))))).toBe(0);
  });

  it('free what the forward made', async () => {
    const { native } = await import('../../lib/native.js');
    await model.forward(tokens);
    await native.fence(model.device);
    const before = native.memory(model.device).inUse;
    for (let i = 0; i < 5; i++) {
      (await model.forward(tokens)).dispose();
      const { logits, cache } = await model.runWithCache(tokens, { namesFilter: () => true });
      logits.dispose();
      cache.dispose();
    }
    await native.fence(model.device);
    expect(native.memory(model.device).inUse).toBeLessThanOrEqual(before);
  });
});

describe('names of points', () => {
  const same: Record<string, readonly (readonly [string, ...string[]])[]> = {
    gpt2: [
      ['hook_embed', 'embed.hook_out', 'transformer.wte', 'wte.output'],
      ['hook_pos_embed', 'pos_embed.hook_out', 'transformer.wpe.output'],
      ['blocks.1.hook_resid_pre', 'blocks.1.hook_in', 'transformer.h.1.input', 'h[1].input'],
      ['blocks.1.hook_resid_post', 'blocks.1.hook_out', 'transformer.h.1', 'h.1.output[0]'],
      ['blocks.0.attn.hook_z', 'blocks.0.attn.o.hook_in', 'transformer.h.0.attn.c_proj.input'],
      ['blocks.0.hook_attn_out', 'blocks.0.attn.hook_out', 'transformer.h.0.attn.output[0]'],
      ['blocks.0.hook_resid_mid', 'blocks.0.ln2.hook_in', 'h.0.ln_2.input'],
      ['blocks.0.mlp.hook_in', 'transformer.h.0.ln_2.output', 'h.0.ln_2'],
      ['blocks.0.mlp.hook_pre', 'blocks.0.mlp.in.hook_out', 'h.0.mlp.c_fc'],
      ['blocks.0.mlp.hook_post', 'blocks.0.mlp.out.hook_in', 'h.0.mlp.c_proj.input'],
      ['blocks.0.hook_mlp_out', 'blocks.0.mlp.hook_out', 'transformer.h.0.mlp'],
      ['unembed.hook_in', 'transformer.ln_f', 'lm_head.input'],
      ['unembed.hook_out', 'hook_unembed', 'lm_head', 'lm_head.output'],
    ],
    neox: [
      ['hook_embed', 'gpt_neox.embed_in.output'],
      ['blocks.0.hook_resid_pre', 'blocks.0.ln2.hook_in', 'gpt_neox.layers.0.input'],
      ['blocks.0.hook_attn_out', 'gpt_neox.layers.0.attention.output[0]'],
      ['blocks.0.attn.hook_z', 'layers.0.attention.dense.input'],
      ['blocks.0.mlp.hook_in', 'layers.0.post_attention_layernorm.output'],
      ['unembed.hook_out', 'embed_out.output', 'lm_head.output'],
    ],
    llama: [
      ['blocks.0.hook_resid_mid', 'model.layers.0.post_attention_layernorm.input'],
      ['blocks.0.attn.hook_q', 'blocks.0.attn.q.hook_out', 'model.layers.0.self_attn.q_proj'],
      ['blocks.0.mlp.hook_pre', 'blocks.0.mlp.gate.hook_out', 'layers.0.mlp.gate_proj.output'],
      ['blocks.0.mlp.hook_pre_linear', 'blocks.0.mlp.in.hook_out', 'layers.0.mlp.up_proj.output'],
      ['unembed.hook_in', 'model.norm.output'],
    ],
    gemma3: [
      [
        'blocks.5.hook_resid_post',
        'model.layers.5',
        'model.language_model.layers.5.output',
        'layers.5',
      ],
      ['blocks.5.hook_attn_out', 'model.layers.5.post_attention_layernorm.output'],
      ['blocks.5.attn.hook_out', 'model.layers.5.self_attn.output'],
      ['blocks.5.hook_resid_mid', 'model.layers.5.pre_feedforward_layernorm.input'],
      ['blocks.5.mlp.hook_in', 'model.layers.5.pre_feedforward_layernorm.output'],
      [
        'blocks.5.hook_mlp_out',
        'blocks.5.ln2_post.hook_out',
        'layers.5.post_feedforward_layernorm',
      ],
      ['blocks.5.mlp.hook_out', 'layers.5.mlp.output'],
    ],
  };

  it.each(Object.keys(same))('are aliases of one point in %s', async (family) => {
    await using model = await load(family);
    for (const [canonical, ...aliases] of same[family] ?? []) {
      expect([...model.hookNames, 'hook_mlp_in']).toContain(canonical);
      const { cache } = await model.runWithCache(tokens, { namesFilter: canonical });
      expect(cache.keys()).toEqual([canonical]);
      for (const alias of aliases) {
        expect(cache.has(alias), alias).toBe(true);
        let fired = '';
        const note = (_act: Tensor, point: HookPoint) => {
          fired = point.name;
        };
        await model.runWithHooks(tokens, { fwdHooks: [[alias, note]] });
        expect(fired, alias).toBe(canonical);
      }
    }
  });

  it('that do not exist or cannot fire throw ERR_HOOK with the nearest', async () => {
    await using gpt2 = await load('gpt2');
    await using llama = await load('llama');
    await using neox = await load('neox');
    const fails = (model: HookedTransformer, name: string, message: RegExp) =>
      expect(
        model.runWithHooks(tokens, { fwdHooks: [[name, () => {}]] }),
        name,
      ).rejects.toMatchObject({ code: 'ERR_HOOK', message: expect.stringMatching(message) });
    await fails(gpt2, 'blocks.0.hook_resid_pos', /blocks\.0\.hook_resid_post/);
    await fails(gpt2, 'blocks.9.hook_resid_post', /blocks\.0\.hook_resid_post/);
    await fails(gpt2, 'blocks.0.mlp.hook_pre_linear', /not gated/);
    await fails(gpt2, 'blocks.0.attn.hook_rot_q', /does not rotate/);
    await fails(llama, 'hook_pos_embed', /rotations/);
    await fails(llama, 'blocks.0.hook_attn_in', /share keys/);
    await fails(neox, 'blocks.0.hook_resid_mid', /side by side/);
    expect(() => gpt2.addHook('transformer.h.7', () => {})).toThrowError(/no hook point/);
    await expect(
      gpt2.runWithCache(tokens, { namesFilter: ['hook_embed', 'nothing'] }),
    ).rejects.toMatchObject({ code: 'ERR_HOOK' });
    const { cache } = await gpt2.runWithCache(tokens, { namesFilter: () => false });
    expect(cache.size).toBe(0);
  });

  it('of Hugging Face serve registerForwardHook', async () => {
    await using model = await HookedTransformer.fromPretrainedNoProcessing(
      fileURLToPath(new URL('../../assets/demo/model', import.meta.url)),
    );
    let kept: Tensor | undefined;
    const handle = model.registerForwardHook('transformer.h.2', (out) => {
      kept = out.clone();
    });
    const text = 'And God said';
    await model.forward(text);
    handle.remove();
    const { cache } = await model.runWithCache(text, { namesFilter: 'h.2' });
    expect(await numbers(kept as Tensor)).toEqual(await numbers(cache.get('resid_post', 2)));
  });
});
