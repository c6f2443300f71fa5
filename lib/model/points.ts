/**
 * The table of hook points: what each is called by TransformerLens, by TransformerBridge and by the
 * modules of transformers, and what it holds (b batch, p positions).
 */
import type { ModelConfig } from './config.js';
import type { ModuleNames } from './families/family.js';

/** A point of the model, its spellings, and where it lies. */
export interface Point {
  /** TransformerLens' name. */
  readonly name: string;
  /** TransformerBridge's name, when it is another; further ones are aliases. */
  readonly bridge?: readonly string[];
  /** Hugging Face modules, without the model's prefix: "layers.3.output". */
  readonly modules?: readonly string[];
  /** Costly or redundant: left out where "every point" is asked for. */
  readonly onRequest?: boolean;
  /** Why a name that other models have cannot fire in this one. */
  readonly cannotFire?: string;
}

/** The points of one block by what the forward calls them. */
export interface BlockPoints {
  /** [b, p, d_model] */
  readonly residPre: string;
  /** [b, p, n_heads, d_model], a copy of resid_pre for each head. */
  readonly attnIn: string;
  /** [b, p, n_heads, d_model]; keys and values [b, p, n_kv, d_model]. */
  readonly qInput: string;
  readonly kInput: string;
  readonly vInput: string;
  /** [b, p, 1] float32: sqrt(variance + eps). */
  readonly ln1Scale: string;
  /** [b, p, d_model] float32, before weight and bias. */
  readonly ln1Normalized: string;
  /** [b, p, d_model], after them: what attention reads. */
  readonly ln1Out: string;
  /** [b, p, n_heads, d_head], before the rotation; keys and values [b, p, n_kv, d_head]. */
  readonly q: string;
  readonly k: string;
  readonly v: string;
  /** [b * p * n, 1] and [b * p * n, d_head]. */
  readonly qNormScale: string;
  readonly qNormNormalized: string;
  readonly kNormScale: string;
  readonly kNormNormalized: string;
  /** As q and k, after norm and rotation; with a key-value cache rot_k holds every key so far. */
  readonly rotQ: string;
  readonly rotK: string;
  /** [b, n_heads, p, keys] float32, masked places -inf. */
  readonly attnScores: string;
  readonly pattern: string;
  /** [b, p, n_heads, d_head] */
  readonly z: string;
  /** [b, p, n_heads, d_model], without b_O. */
  readonly result: string;
  /** [b, p, d_model], before the norm after attention (Gemma 2 and 3). */
  readonly attnRaw: string;
  readonly ln1PostScale: string;
  readonly ln1PostNormalized: string;
  /** [b, p, d_model]: what is added to the residual. */
  readonly attnOut: string;
  readonly residMid: string;
  /** [b, p, d_model], a copy of the residual before ln2. */
  readonly mlpInput: string;
  readonly ln2Scale: string;
  readonly ln2Normalized: string;
  /** [b, p, d_model], after ln2 and its weight: what the MLP reads. */
  readonly mlpIn: string;
  /** [b, p, d_mlp]; of the gate when there is one. */
  readonly pre: string;
  readonly preLinear: string;
  readonly post: string;
  readonly mlpRaw: string;
  readonly ln2PostScale: string;
  readonly ln2PostNormalized: string;
  readonly mlpOut: string;
  readonly residPost: string;
}

/** undefined: this model has no such point. */
export type Points<Key extends string> = Readonly<Record<Key, Point | undefined>>;

/** The points outside the blocks. */
export interface OutsidePoints {
  /** [b, p] int32 */
  readonly tokens: string;
  /** [b, p, d_model]; scaled where the model scales it (Gemma). */
  readonly embed: string;
  readonly posEmbed: string;
  readonly finalScale: string;
  readonly finalNormalized: string;
  /** [b, p, d_model], after ln_final. */
  readonly unembedIn: string;
  /** [b, p, d_vocab], before the final softcap. */
  readonly logits: string;
}

export function outsidePoints(cfg: ModelConfig, m: ModuleNames): Points<keyof OutsidePoints> {
  return {
    tokens: { name: 'hook_tokens', onRequest: true },
    embed: { name: 'hook_embed', bridge: ['embed.hook_out'], modules: [`${m.embed}.output`] },
    posEmbed: {
      name: 'hook_pos_embed',
      bridge: ['pos_embed.hook_out'],
      modules: ['wpe.output'],
      ...(cfg.positions === 'rotary' && {
        cannotFire: 'positions are rotations of queries and keys in this model, not embeddings',
      }),
    },
    finalScale: { name: 'ln_final.hook_scale' },
    finalNormalized: { name: 'ln_final.hook_normalized' },
    unembedIn: {
      name: 'unembed.hook_in',
      bridge: ['unembed.hook_in', 'ln_final.hook_out'],
      modules: [`${m.lnFinal}.output`, ...m.heads.map((head) => `${head}.input`)],
    },
    logits: {
      name: 'unembed.hook_out',
      bridge: ['unembed.hook_out', 'hook_unembed'],
      modules: m.heads.map((head) => `${head}.output`),
    },
  };
}

export function blockPoints(
  cfg: ModelConfig,
  m: ModuleNames,
  layer: number,
): Points<keyof BlockPoints> {
  const at = `blocks.${layer}.`;
  const hf = `${m.layers}.${layer}.`;
  const lens = (name: string) => ({ name: at + name });
  const bridge = (...names: string[]) => ({ bridge: names.map((name) => at + name) });
  const modules = (...names: (string | undefined)[]) => ({
    modules: names.filter((name) => name !== undefined).map((name) => hf + name),
  });
  const inside = (module: string, child: string | undefined, side: string) =>
    child === undefined ? undefined : `${module}.${child}.${side}`;
  const unless = (has: boolean, reason: string) => (has ? {} : { cannotFire: reason });
  const isGrouped = cfg.nKeyValueHeads !== cfg.nHeads;
  const rotates = unless(cfg.positions === 'rotary', 'this model does not rotate its heads');
  const normsHeads = unless(cfg.qkNorm, 'this model has no norms on queries and keys');
  const normsAfter = unless(cfg.postNorms, 'this model has no norms after attention and MLP');
  const dense = unless(
    cfg.experts === undefined,
    'each token goes through experts of its own here',
  );
  const gate = cfg.gated ? m.mlpGate : m.mlpIn;
  const attnEnd = [`${m.attn}.output`, `${m.attn}.${m.o}.output`];
  const mlpEnd = [`${m.mlp}.output`, inside(m.mlp, m.mlpOut, 'output')];
  return {
    residPre: {
      ...lens('hook_resid_pre'),
      ...bridge('hook_in', 'ln1.hook_in', ...(cfg.parallel ? ['ln2.hook_in'] : [])),
      modules: [
        `${m.layers}.${layer}.input`,
        `${hf}${m.ln1}.input`,
        ...(cfg.parallel ? [`${hf}${m.ln2}.input`] : []),
      ],
    },
    attnIn: {
      ...lens('hook_attn_in'),
      onRequest: true,
      ...unless(
        !isGrouped,
        'heads share keys and values in this model; use hook_q_input, hook_k_input, hook_v_input',
      ),
    },
    qInput: { ...lens('hook_q_input'), onRequest: true },
    kInput: { ...lens('hook_k_input'), onRequest: true },
    vInput: { ...lens('hook_v_input'), onRequest: true },
    ln1Scale: lens('ln1.hook_scale'),
    ln1Normalized: lens('ln1.hook_normalized'),
    ln1Out: {
      ...lens('ln1.hook_out'),
      ...bridge('ln1.hook_out', 'attn.hook_in'),
      ...modules(`${m.ln1}.output`, `${m.attn}.input`),
      onRequest: true,
    },
    q: {
      ...lens('attn.hook_q'),
      ...bridge('attn.q.hook_out'),
      ...modules(inside(m.attn, m.q, 'output')),
    },
    k: {
      ...lens('attn.hook_k'),
      ...bridge('attn.k.hook_out'),
      ...modules(inside(m.attn, m.k, 'output')),
    },
    v: {
      ...lens('attn.hook_v'),
      ...bridge('attn.v.hook_out'),
      ...modules(inside(m.attn, m.v, 'output')),
    },
    qNormScale: { ...lens('attn.q_norm.hook_scale'), ...normsHeads },
    qNormNormalized: { ...lens('attn.q_norm.hook_normalized'), ...normsHeads },
    kNormScale: { ...lens('attn.k_norm.hook_scale'), ...normsHeads },
    kNormNormalized: { ...lens('attn.k_norm.hook_normalized'), ...normsHeads },
    rotQ: { ...lens('attn.hook_rot_q'), ...rotates },
    rotK: { ...lens('attn.hook_rot_k'), ...rotates },
    attnScores: lens('attn.hook_attn_scores'),
    pattern: lens('attn.hook_pattern'),
    z: {
      ...lens('attn.hook_z'),
      ...bridge('attn.o.hook_in'),
      ...modules(`${m.attn}.${m.o}.input`),
    },
    result: { ...lens('attn.hook_result'), onRequest: true },
    attnRaw: cfg.postNorms
      ? {
          ...lens('attn.hook_out'),
          ...modules(...attnEnd, `${m.ln1Post}.input`),
          onRequest: true,
        }
      : undefined,
    ln1PostScale: { ...lens('ln1_post.hook_scale'), ...normsAfter },
    ln1PostNormalized: { ...lens('ln1_post.hook_normalized'), ...normsAfter },
    attnOut: {
      ...lens('hook_attn_out'),
      ...(cfg.postNorms
        ? { ...bridge('ln1_post.hook_out'), ...modules(`${m.ln1Post}.output`) }
        : { ...bridge('attn.hook_out', 'attn.o.hook_out'), ...modules(...attnEnd) }),
    },
    residMid: {
      ...lens('hook_resid_mid'),
      ...(cfg.parallel
        ? { cannotFire: 'attention and MLP run side by side here: no residual lies between them' }
        : { ...bridge('ln2.hook_in'), ...modules(`${m.ln2}.input`) }),
    },
    mlpInput: { ...lens('hook_mlp_in'), onRequest: true },
    ln2Scale: lens('ln2.hook_scale'),
    ln2Normalized: lens('ln2.hook_normalized'),
    mlpIn: {
      ...lens('mlp.hook_in'),
      ...bridge('mlp.hook_in', 'ln2.hook_out'),
      ...modules(`${m.ln2}.output`, `${m.mlp}.input`),
    },
    pre: {
      ...lens('mlp.hook_pre'),
      ...bridge(cfg.gated ? 'mlp.gate.hook_out' : 'mlp.in.hook_out'),
      ...modules(inside(m.mlp, gate, 'output')),
      ...dense,
    },
    preLinear: {
      ...lens('mlp.hook_pre_linear'),
      ...(cfg.gated
        ? { ...bridge('mlp.in.hook_out'), ...modules(inside(m.mlp, m.mlpIn, 'output')), ...dense }
        : { cannotFire: 'the MLP of this model is not gated' }),
    },
    post: {
      ...lens('mlp.hook_post'),
      ...bridge('mlp.out.hook_in'),
      ...modules(inside(m.mlp, m.mlpOut, 'input')),
      ...dense,
    },
    mlpRaw: cfg.postNorms
      ? {
          ...lens('mlp.hook_out'),
          ...modules(...mlpEnd, `${m.ln2Post}.input`),
          onRequest: true,
        }
      : undefined,
    ln2PostScale: { ...lens('ln2_post.hook_scale'), ...normsAfter },
    ln2PostNormalized: { ...lens('ln2_post.hook_normalized'), ...normsAfter },
    mlpOut: {
      ...lens('hook_mlp_out'),
      ...(cfg.postNorms
        ? { ...bridge('ln2_post.hook_out'), ...modules(`${m.ln2Post}.output`) }
        : { ...bridge('mlp.hook_out', 'mlp.out.hook_out'), ...modules(...mlpEnd) }),
    },
    residPost: {
      ...lens('hook_resid_post'),
      ...bridge('hook_out'),
      modules: [
        `${m.layers}.${layer}.output`,
        ...(layer === cfg.nLayers - 1 ? [`${m.lnFinal}.input`] : []),
      ],
    },
  };
}
