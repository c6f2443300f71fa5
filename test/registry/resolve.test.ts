import { describe, expect, it } from 'vitest';
import { MonosemError } from '../../lib/error.js';
import { resolve } from '../../lib/registry/resolve.js';

function refusal(release: string, saeId: string): string {
  try {
    resolve(release, saeId);
  } catch (error) {
    expect(error).toBeInstanceOf(MonosemError);
    expect((error as MonosemError).code).toBe('ERR_NOT_FOUND');
    return (error as MonosemError).message;
  }
  throw new Error(`${release} ${saeId} was found`);
}

describe('resolve', () => {
  it('gives everything a loader needs', () => {
    expect(resolve('gpt2-small-res-jb', 'blocks.8.hook_resid_pre')).toMatchObject({
      repoId: 'jbloom/GPT2-Small-SAEs-Reformatted',
      path: 'blocks.8.hook_resid_pre',
      loader: 'sae_lens',
      model: 'gpt2-small',
      hookName: 'blocks.8.hook_resid_pre',
      dSae: 24_576,
      neuronpediaId: 'gpt2-small/8-res-jb',
      configOverrides: {
        model_from_pretrained_kwargs: { center_writing_weights: true },
      },
      notes: [],
    });
    const scope = resolve('llama_scope_lxr_8x', 'l0r_8x');
    expect(scope.normScalingFactor).toBeGreaterThan(0);
    expect(scope.configOverrides).toEqual({});
  });

  it('reads any other repository in SAELens form', () => {
    expect(resolve('someone/their-saes', 'layer_3/big')).toEqual({
      release: 'someone/their-saes',
      saeId: 'layer_3/big',
      repoId: 'someone/their-saes',
      path: 'layer_3/big',
      loader: 'sae_lens',
      configOverrides: {},
      notes: [],
    });
  });

  it('notes that a repository id was given where a release exists', () => {
    const id = 'layer_0/width_16k/average_l0_105';
    const { loader, notes } = resolve('google/gemma-scope-2b-pt-res', id);
    expect(loader).toBe('sae_lens');
    expect(notes[0]).toContain(`("gemma-scope-2b-pt-res", "${id}")`);
    expect(notes[0]).toContain(
      '("gemma-scope-2b-pt-res-canonical", "layer_0/width_16k/canonical")',
    );
    expect(resolve('google/gemma-scope-2b-pt-res', 'other').notes[0]).toContain(
      '"gemma-scope-2b-pt-res"',
    );
  });

  it('names the near releases, or those of the repository that was meant', () => {
    expect(refusal('gpt2-small-res-jbb', 'x')).toContain('Did you mean "gpt2-small-res-jb"');
    expect(refusal('GPT2-Small-SAEs-Reformatted', 'x')).toContain('"gpt2-small-res-jb"');
    expect(refusal('zzzz', 'x')).not.toContain('Did you mean');
    expect(refusal('', 'x')).toContain('npx monosem saes');
    expect(refusal('a/b/c', 'x')).toContain('owner/name');
    expect(refusal('../etc/passwd', 'x')).toContain('owner/name');
  });

  it('names the near ids', () => {
    const message = refusal('gpt2-small-res-jb', 'blocks.8.hook_resid_post');
    expect(message).toContain('"blocks.8.hook_resid_pre"');
    expect(message).toContain('registry.saes("gpt2-small-res-jb") lists all');
  });

  it('leads from an L0 to the canonical id and back', () => {
    const unknownL0 = refusal('gemma-scope-2b-pt-res', 'layer_20/width_16k/average_l0_72');
    expect(unknownL0).toContain('average_l0_71');
    expect(unknownL0).toContain('"gemma-scope-2b-pt-res-canonical"');
    expect(unknownL0).toContain('"layer_20/width_16k/canonical"');
    expect(refusal('gemma-scope-2b-pt-res', 'layer_20/width_16k/canonical')).toContain(
      '("gemma-scope-2b-pt-res-canonical", "layer_20/width_16k/canonical")',
    );
    expect(
      refusal('gemma-scope-2b-pt-res-canonical', 'layer_20/width_16k/average_l0_71'),
    ).toContain('("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71")');
  });
});
