import { beforeEach, describe, expect, it } from 'vitest';
import { ActivationCache } from '../../lib/hooks/activation_cache.js';
import { HookRegistry, type Splice } from '../../lib/hooks/hook_registry.js';
import type { HookRun } from '../../lib/hooks/hook_run.js';
import type { HookPoint } from '../../lib/hooks/types.js';
import { scope } from '../../lib/scope.js';
import { Tensor } from '../../lib/tensor.js';

const POINTS = [
  'hook_embed',
  'blocks.0.hook_resid_pre',
  'blocks.0.mlp.hook_in',
  'blocks.0.hook_mlp_out',
];
const ALIASES: Record<string, string> = { 'blocks.0.hook_in': 'blocks.0.hook_resid_pre' };
const OFF = 'blocks.0.hook_mlp_in';

let hooks: HookRegistry;
beforeEach(() => {
  hooks = new HookRegistry({
    names: POINTS,
    resolve: (name) => (name === OFF || POINTS.includes(name) ? name : ALIASES[name]),
    cannotFire: (name) => (name === OFF ? 'its flag use_hook_mlp_in is off' : undefined),
  });
});

const value = () => Tensor.from([1, 2, 3]);
const numbers = (tensor: Tensor) => [...tensor.dataSync()];

/** A model's forward: the points in order, each given a fresh value. */
function forward(run: HookRun): (Tensor | Promise<Tensor>)[] {
  return POINTS.map((name) => run.fire(name, value()));
}

describe('firing', () => {
  it('gives the value back untouched and at once where nobody listens', () => {
    using run = hooks.begin();
    const x = value();
    expect(run.fire('hook_embed', x)).toBe(x);
    expect(run.listens('hook_embed')).toBe(false);
    expect([...run.listened()]).toEqual([]);
  });

  it('calls hooks in the order they were added, the registry’s before the run’s', () => {
    const order: string[] = [];
    const note = (what: string) => () => void order.push(what);
    hooks.add('hook_embed', note('first'));
    hooks.add((name) => name.endsWith('embed'), note('second'));
    using run = hooks.begin({ fwdHooks: [['hook_embed', note('third')]] });
    forward(run);
    expect(order).toEqual(['first', 'second', 'third']);
  });

  it('tells hooks where they are', () => {
    const seen: unknown[] = [];
    using run = hooks.begin({
      fwdHooks: [
        [
          (name: string) => name !== POINTS[2],
          (_: unknown, point: HookPoint) => void seen.push(point),
        ],
      ],
    });
    forward(run);
    expect(seen).toEqual([
      { name: 'hook_embed' },
      { name: 'blocks.0.hook_resid_pre', layer: 0 },
      { name: 'blocks.0.hook_mlp_out', layer: 0 },
    ]);
  });

  it('passes what a hook returns on to the next, synchronously', () => {
    hooks.add('hook_embed', (x: Tensor) => x.mul(2));
    hooks.add('hook_embed', (x: Tensor) => void x.addInPlace(1));
    using run = hooks.begin();
    expect(numbers(run.fire('hook_embed', value()) as Tensor)).toEqual([3, 5, 7]);
  });

  it('waits for async hooks, and only then', async () => {
    hooks.add('hook_embed', async (x: Tensor) => {
      await x.data();
      return x.mul(10);
    });
    hooks.add('hook_embed', (x: Tensor) => x.add(1));
    using run = hooks.begin();
    const pending = run.fire('hook_embed', value());
    expect(pending).toBeInstanceOf(Promise);
    expect(numbers(await pending)).toEqual([11, 21, 31]);
    expect(run.fire('blocks.0.hook_resid_pre', value())).toBeInstanceOf(Tensor);
  });

  it('resolves aliases, and gives the canonical name', () => {
    const seen: string[] = [];
    using run = hooks.begin({
      fwdHooks: [['blocks.0.hook_in', (_: unknown, { name }: HookPoint) => void seen.push(name)]],
    });
    forward(run);
    expect(seen).toEqual(['blocks.0.hook_resid_pre']);
  });

  it('lets an error of a hook through', async () => {
    const broken = () => {
      throw new RangeError('mine');
    };
    using run = hooks.begin({ fwdHooks: [['hook_embed', broken]] });
    expect(() => run.fire('hook_embed', value())).toThrow(RangeError);
    using late = hooks.begin({ fwdHooks: [['hook_embed', async () => broken()]] });
    await expect(late.fire('hook_embed', value())).rejects.toThrow('mine');
  });

  it('keeps what a hook kept, whatever scope the model is in', () => {
    let kept: Tensor | undefined;
    using run = hooks.begin({
      fwdHooks: [
        [
          'hook_embed',
          (x: Tensor) => {
            kept = x.clone();
          },
        ],
      ],
    });
    scope(() => void run.fire('hook_embed', value()));
    expect(numbers(kept as unknown as Tensor)).toEqual([1, 2, 3]);
  });
});

describe('bad hooks', () => {
  it('names the nearest points for an unknown one', () => {
    expect(() => hooks.add('blocks.0.hook_resid_prr', () => {})).toThrow(
      expect.objectContaining({
        code: 'ERR_HOOK',
        message: expect.stringContaining('blocks.0.hook_resid_pre'),
      }),
    );
    expect(() => hooks.begin({ fwdHooks: [['nonsense', () => {}]] })).toThrow(
      expect.objectContaining({ code: 'ERR_HOOK' }),
    );
  });

  it('says why a point cannot fire', () => {
    expect(() => hooks.add(OFF, () => {})).toThrow(/cannot fire: its flag use_hook_mlp_in is off/);
  });

  it('refuses what is no hook and what a hook may not return', () => {
    const error = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' });
    expect(() => hooks.add('hook_embed', 3 as never)).toThrow(error);
    expect(() => hooks.add(3 as never, () => {})).toThrow(error);
    for (const wrong of [null, 1, [1], 'x']) {
      using run = hooks.begin({ fwdHooks: [['hook_embed', () => wrong as never]] });
      expect(() => run.fire('hook_embed', value())).toThrow(
        expect.objectContaining({ code: 'ERR_HOOK' }),
      );
    }
  });
});

describe('what stays between runs', () => {
  const count = (counts: number[], i: number) => () => {
    counts[i] = (counts[i] ?? 0) + 1;
  };

  it('removes by handle, by using, and by reset', () => {
    const counts = [0, 0, 0, 0];
    const handle = hooks.add('hook_embed', count(counts, 0));
    hooks.add('hook_embed', count(counts, 1));
    hooks.add('hook_embed', count(counts, 2), { permanent: true });
    {
      using _ = hooks.add('hook_embed', count(counts, 3));
      forward(hooks.begin());
    }
    handle.remove();
    handle.remove();
    forward(hooks.begin());
    hooks.reset();
    forward(hooks.begin());
    expect(counts).toEqual([1, 2, 3, 1]);
    hooks.reset({ includingPermanent: true });
    forward(hooks.begin());
    expect(counts).toEqual([1, 2, 3, 1]);
  });

  it('leaves a run in flight as it began', () => {
    const counts = [0, 0];
    hooks.add('hook_embed', count(counts, 0));
    using run = hooks.begin();
    hooks.reset();
    hooks.add('hook_embed', count(counts, 1));
    forward(run);
    expect(counts).toEqual([1, 0]);
  });

  it('keeps the hooks of two runs at once apart', () => {
    const counts = [0, 0];
    using first = hooks.begin({ fwdHooks: [['hook_embed', count(counts, 0)]] });
    using second = hooks.begin({ fwdHooks: [['hook_embed', count(counts, 1)]] });
    forward(first);
    forward(second);
    forward(second);
    expect(counts).toEqual([1, 2]);
  });
});

describe('caching', () => {
  const cache = () => new ActivationCache((name) => hooks.find(name), 1);

  it('takes snapshots after every edit at the point', () => {
    const filled = cache();
    using run = hooks.begin({ cache: filled, fwdHooks: [['hook_embed', (x: Tensor) => x.mul(2)]] });
    const [out] = forward(run) as [Tensor];
    out.fill(0);
    expect(filled.keys()).toEqual(POINTS);
    expect(numbers(filled.get('hook_embed'))).toEqual([2, 4, 6]);
    expect(numbers(filled.get('resid_pre', 0))).toEqual([1, 2, 3]);
    expect(numbers(filled.get('resid_pre', -1))).toEqual([1, 2, 3]);
    expect(filled.has('blocks.0.hook_in')).toBe(true);
    expect(numbers(filled.get('blocks.0.hook_in'))).toEqual([1, 2, 3]);
    expect([...filled].map(([name]) => name)).toEqual(POINTS);
    filled.dispose();
    expect(() => filled.get('hook_embed')).toThrow(
      expect.objectContaining({ code: 'ERR_DISPOSED' }),
    );
  });

  it('filters by name, list and predicate; does not count as an edit', () => {
    for (const namesFilter of [
      'blocks.0.hook_in',
      ['blocks.0.hook_in', 'blocks.0.hook_resid_pre'],
      (name: string) => name.includes('resid'),
    ]) {
      const filled = cache();
      using run = hooks.begin({ cache: filled, namesFilter });
      expect(run.edits('blocks.0.hook_resid_pre')).toBe(false);
      forward(run);
      expect(filled.keys()).toEqual(['blocks.0.hook_resid_pre']);
    }
    const nothing = cache();
    forward(hooks.begin({ cache: nothing, namesFilter: () => false }));
    expect(nothing.size).toBe(0);
  });

  it('refuses an unknown name, in the filter and in the look-up', () => {
    const error = expect.objectContaining({ code: 'ERR_HOOK' });
    expect(() => hooks.begin({ cache: cache(), namesFilter: ['resid'] })).toThrow(error);
    const filled = cache();
    forward(hooks.begin({ cache: filled, namesFilter: 'hook_embed' }));
    expect(() => filled.get('hook_embe')).toThrow(/nearest: hook_embed/);
    expect(() => filled.get('resid_pre', 0)).toThrow(error);
  });
});

describe('splices', () => {
  /** Adds its input (or what flowed past its input point) to the value. */
  const adding = (point: string, inputPoint = point, by = 100): Splice => {
    const splice: Splice = {
      point,
      inputPoint,
      names: [`${point}.hook_sae_input`],
      cannotFire: (name) => (name.endsWith('hook_sae_error') ? 'no error term' : undefined),
      async apply(x, run) {
        const seen = await run.fire(
          `${point}.hook_sae_input`,
          inputPoint === point ? x : (run.captured(splice) as Tensor),
        );
        return x.add(seen).add(by);
      },
    };
    return splice;
  };

  it('stands before the hooks of its point, which stays alive', async () => {
    hooks.attach(adding('hook_embed'));
    const seen: string[] = [];
    const cache = new ActivationCache();
    using run = hooks.begin({
      cache,
      fwdHooks: [
        ['hook_embed.hook_sae_input', (x: Tensor) => void seen.push(`in ${numbers(x)}`)],
        ['hook_embed', (x: Tensor) => void seen.push(`out ${numbers(x)}`)],
      ],
    });
    expect(numbers(await run.fire('hook_embed', value()))).toEqual([102, 104, 106]);
    expect(seen).toEqual(['in 1,2,3', 'out 102,104,106']);
    expect(cache.keys()).toEqual(['hook_embed.hook_sae_input', 'hook_embed']);
  });

  it('captures by reference where it was attached among the hooks of its input point', async () => {
    const [input, output] = ['blocks.0.mlp.hook_in', 'blocks.0.hook_mlp_out'];
    hooks.add(input, (x: Tensor) => x.mul(2));
    hooks.attach(adding(output, input, 0));
    hooks.add(input, (x: Tensor) => void x.addInPlace(1));
    hooks.add(input, (x: Tensor) => x.mul(0));
    using run = hooks.begin();
    run.fire(input, value());
    expect(numbers(await run.fire(output, value()))).toEqual([4, 7, 10]);
  });

  it('gives way to a run’s own at the same point, and comes back', async () => {
    const [input, output] = ['blocks.0.mlp.hook_in', 'blocks.0.hook_mlp_out'];
    hooks.attach(adding(output, input, 0));
    using run = hooks.begin({ splices: [adding(output, output, 7)] });
    expect(run.listens(input)).toBe(false);
    expect(numbers(await run.fire(output, value()))).toEqual([9, 11, 13]);
    using next = hooks.begin();
    expect(next.listens(input)).toBe(true);
  });

  it('is replaced by a second one, and gone after detach, its names with it', () => {
    const first = adding('hook_embed');
    hooks.attach(first);
    expect(hooks.attach(adding('hook_embed'))).toBe(first);
    hooks.add('hook_embed.hook_sae_input', () => {});
    expect(() => hooks.add('hook_embed.hook_sae_error', () => {})).toThrow(/no error term/);
    expect(() => hooks.add('hook_embed.hook_sae_nonsense', () => {})).toThrow(/nearest/);
    hooks.detach('hook_embed');
    expect([...hooks.begin().listened()]).toEqual([]);
    expect(() => hooks.add('hook_embed.hook_sae_input', () => {})).toThrow(/no SAE is attached/);
  });

  it('survives a reset of hooks', () => {
    const [input, output] = ['blocks.0.mlp.hook_in', 'blocks.0.hook_mlp_out'];
    hooks.attach(adding(output, input));
    hooks.reset({ includingPermanent: true });
    expect([...hooks.begin().listened()].sort()).toEqual([output, input].sort());
  });

  it('names the points of aliases', () => {
    hooks.attach(adding('blocks.0.hook_resid_pre'));
    expect(hooks.resolve('blocks.0.hook_in.hook_sae_input')).toBe(
      'blocks.0.hook_resid_pre.hook_sae_input',
    );
  });
});
