import { describe, expect, it } from 'vitest';
import { actName } from '../../lib/hooks/short_names.js';

describe('actName', () => {
  // the cases of TransformerLens' get_act_name and of ActivationCache's keys
  const cases: [string, Parameters<typeof actName>][] = [
    ['blocks.6.attn.hook_k', ['k', 6, 'a']],
    ['hook_embed', ['embed']],
    ['blocks.27.ln2.hook_normalized', ['normalized', 27, 'ln2']],
    ['blocks.6.attn.hook_k', ['k6']],
    ['blocks.4.ln1.hook_scale', ['scale4ln1']],
    ['blocks.5.mlp.hook_pre', ['pre5']],
    ['blocks.5.hook_resid_post', ['resid_post', 5]],
    ['blocks.0.attn.hook_pattern', ['attn', 0]],
    ['blocks.0.attn.hook_attn_scores', ['attn_logits', 0]],
    ['blocks.3.attn.hook_q', ['query', 3]],
    ['blocks.3.mlp.hook_post', ['mlp_post', 3]],
    ['blocks.3.mlp.hook_pre_linear', ['pre_linear', 3]],
    ['blocks.3.attn.hook_rot_k', ['rot_k', 3]],
    ['blocks.3.ln1_post.hook_scale', ['scale', 3, 'ln1_post']],
    ['blocks.3.hook_resid_mid', ['resid_mid', 3, 'block']],
    ['ln_final.hook_scale', ['scale']],
    ['ln_final.hook_normalized', ['normalized']],
    ['blocks.1.hook_mlp_out', ['blocks.1.hook_mlp_out']],
    ['hook_pos_embed', ['hook_pos_embed']],
    ['hook_constructor', ['constructor']],
  ];
  for (const [full, args] of cases) {
    it(`${JSON.stringify(args)} is ${full}`, () => expect(actName(...args)).toBe(full));
  }
});
