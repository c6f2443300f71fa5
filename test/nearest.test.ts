import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nearest } from '../lib/nearest.js';

const hooks = ['hook_embed', 'blocks.0.hook_resid_pre', 'blocks.0.hook_resid_post', 'ln_final'];

describe('nearest', () => {
  it('puts the nearest spelling first', () => {
    expect(nearest('blocks.0.hook_resid_pst', hooks)[0]).toBe('blocks.0.hook_resid_post');
    expect(nearest('hook_embde', hooks)[0]).toBe('hook_embed');
    expect(nearest('HOOK_EMBED', hooks)[0]).toBe('hook_embed');
  });

  it('offers the completions of a fragment', () => {
    expect(nearest('resid_post', hooks)).toEqual(['blocks.0.hook_resid_post']);
  });

  it('offers nothing for what is like nothing, and at most what was asked for', () => {
    expect(nearest('zzzzzz', hooks)).toEqual([]);
    expect(nearest('', hooks)).toEqual([]);
    expect(nearest('blocks.0.hook_resid_p', hooks, 1)).toHaveLength(1);
    expect(nearest('anything', [])).toEqual([]);
  });

  it('finds any name after one edit to it', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9_.]{8,20}$/), { minLength: 1 });
    fc.assert(
      fc.property(names, fc.nat(), fc.nat(), (candidates, pick, at) => {
        const name = candidates[pick % candidates.length]!;
        const typo = `${name.slice(0, at % name.length)}${name.slice((at % name.length) + 1)}`;
        expect(nearest(typo, candidates, candidates.length)).toContain(name);
      }),
    );
  });
});
