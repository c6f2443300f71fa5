/**
 * The short forms of hook names: ("resid_post", 5), ("scale", 4, "ln1"), "k6", "scale4ln1". The rules
 * are TransformerLens' `get_act_name`.
 */
const ATTENTION = new Set([
  'k',
  'v',
  'q',
  'z',
  'rot_k',
  'rot_q',
  'result',
  'pattern',
  'attn_scores',
]);
const MLP = new Set(['pre', 'post', 'mid', 'pre_linear']);
const ACT_ALIASES: Readonly<Record<string, string>> = {
  attn: 'pattern',
  attn_logits: 'attn_scores',
  key: 'k',
  query: 'q',
  value: 'v',
  mlp_pre: 'pre',
  mlp_mid: 'mid',
  mlp_post: 'post',
};
const LAYER_TYPE_ALIASES: Readonly<Record<string, string>> = {
  a: 'attn',
  attention: 'attn',
  m: 'mlp',
  b: '',
  block: '',
  blocks: '',
};

/** The full name of a hook point; names that are full already come back as they are. */
export function actName(name: string, layer?: number, layerType?: string): string {
  if (layer === undefined && layerType === undefined) {
    if (name.includes('.') || name.startsWith('hook_')) return name;
    const packed = /^([a-z]+)(\d+)([a-z]?.*)$/.exec(name);
    if (packed !== null) return actName(packed[1] as string, Number(packed[2]), packed[3]);
  }
  const act = own(ACT_ALIASES, name) ?? name;
  if (layer === undefined) {
    const isNorm = act === 'scale' || act === 'normalized';
    return isNorm ? `ln_final.hook_${act}` : `hook_${act}`;
  }
  let type = layerType ? (own(LAYER_TYPE_ALIASES, layerType) ?? layerType) : '';
  if (ATTENTION.has(act)) type = 'attn';
  else if (MLP.has(act)) type = 'mlp';
  return `blocks.${layer}.${type === '' ? '' : `${type}.`}hook_${act}`;
}

function own(table: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
