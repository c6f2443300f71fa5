import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { UsageError } from '../../lib/cli/command.js';
import { run } from '../../lib/cli/saes.js';

let out: MockInstance<typeof console.log>;
let err: MockInstance<typeof console.error>;
const printed = () => out.mock.calls.map(([text]) => String(text)).join('\n');
const complained = () => err.mock.calls.map(([text]) => String(text)).join('\n');

beforeEach(() => {
  out = vi.spyOn(console, 'log').mockImplementation(() => {});
  err = vi.spyOn(console, 'error').mockImplementation(() => {});
});
afterEach(() => vi.restoreAllMocks());

describe('monosem saes', () => {
  it('lists the releases', async () => {
    expect(await run([])).toBe(0);
    const lines = printed().split('\n');
    expect(lines).toHaveLength(171);
    expect(lines[0]).toMatch(/^RELEASE +MODEL +SAES +REPOSITORY$/);
    expect(printed()).toMatch(
      /^gpt2-small-res-jb +gpt2-small +\d+ +jbloom\/GPT2-Small-SAEs-Reformatted$/m,
    );
  });

  it('finds SAEs by words, model and hook, and says how many more there are', async () => {
    expect(await run(['canonical', '65k', '--model', 'google/gemma-2-2b', '--limit', '3'])).toBe(0);
    expect(printed().split('\n')).toHaveLength(4);
    expect(printed()).toContain('layer_0/width_65k/canonical');
    expect(complained()).toMatch(/^\d+ more: /);
    out.mockClear();
    expect(await run(['--hook', 'blocks.8.hook_resid_pre', 'res-jb'])).toBe(0);
    expect(printed()).toMatch(/gpt2-small-res-jb +blocks\.8\.hook_resid_pre +gpt2-small/);
  });

  it('writes JSON, without a limit', async () => {
    expect(await run(['--json', '--model', 'gemma-2-2b'])).toBe(0);
    const entries = JSON.parse(printed());
    expect(entries).toHaveLength(1731);
    expect(entries[0]).toMatchObject({ model: 'gemma-2-2b', dSae: expect.any(Number) });
    out.mockClear();
    expect(await run(['--json'])).toBe(0);
    expect(JSON.parse(printed())).toHaveLength(170);
    out.mockClear();
    expect(await run(['--json', 'nosuchthing'])).toBe(1);
    expect(JSON.parse(printed())).toEqual([]);
  });

  it('fails with near names when nothing matches', async () => {
    expect(await run(['gpt2-small-res-jbb'])).toBe(1);
    expect(complained()).toContain('gpt2-small-res-jb');
    expect(printed()).toBe('');
  });

  it('refuses wrong options', async () => {
    await expect(run(['--limit', 'x'])).rejects.toThrow(UsageError);
    await expect(run(['--nope'])).rejects.toMatchObject({
      code: 'ERR_PARSE_ARGS_UNKNOWN_OPTION',
    });
  });
});
