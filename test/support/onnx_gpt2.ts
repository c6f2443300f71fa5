import { INT64, nodeProto, tensorProto, valueInfo, writeModel } from '../../bench/onnx.mjs';
import { readGolden, readJson } from './golden.js';

interface Gpt2Config {
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_embd: number;
  readonly vocab_size: number;
  readonly layer_norm_epsilon: number;
}

/**
 * A GPT-2 folder as an ONNX model with the inputs and value names of the exporters: input_ids,
 * attention_mask, position_ids and past_key_values.N.{key,value} in, logits out, and the residual that
 * enters block N inside as /model/layers.N/input_layernorm/output_3. No cache comes out.
 */
export function writeOnnxGpt2(folder: string, path: string): void {
  const cfg = readJson<Gpt2Config>(`${folder}/config.json`);
  const heads = cfg.n_head;
  const dHead = cfg.n_embd / heads;
  const nodes: Buffer[] = [];
  const weights: Buffer[] = [];
  const inputs = ['input_ids', 'attention_mask', 'position_ids'].map((name) =>
    valueInfo(name, ['batch', 'sequence'], INT64),
  );

  for (const [name, { shape, values }] of readGolden(`${folder}/model.safetensors`)) {
    const data = Float32Array.from(values);
    weights.push(tensorProto(name.replace('transformer.', ''), shape, data));
  }
  const constant = (name: string, data: Float32Array | BigInt64Array, shape = [data.length]) => {
    weights.push(tensorProto(name, shape, data));
    return name;
  };
  const int = (name: string, ...of: number[]) =>
    constant(name, BigInt64Array.from(of, BigInt), [of.length]);
  /** A node of one output, which is named after it unless a name is given. */
  const node = (op: string, from: readonly string[], attributes = {}, as = `n${nodes.length}`) => {
    nodes.push(nodeProto(op, from, [as], attributes));
    return as;
  };
  const affine = (x: string, name: string) =>
    node('Add', [node('MatMul', [x, `${name}.weight`]), `${name}.bias`]);
  const norm = (x: string, name: string) =>
    node('LayerNormalization', [x, `${name}.weight`, `${name}.bias`], {
      axis: 2,
      epsilon: { float: cfg.layer_norm_epsilon },
    });

  // [sequence, sequence]: a large negative number above the diagonal, 0 on and below it.
  const length = node('Slice', [node('Shape', ['input_ids']), int('one', 1), int('two', 2)]);
  const square = node('Expand', [
    constant('masked', Float32Array.of(-1e9)),
    node('Concat', [length, length], { axis: 0 }),
  ]);
  const causal = node('Trilu', [square, constant('above', BigInt64Array.of(1n), [])], { upper: 1 });

  const split = int('split', 0, 0, heads, dHead);
  const merged = int('merged', 0, 0, cfg.n_embd);
  const scale = constant('scale', Float32Array.of(1 / Math.sqrt(dHead)));

  function attention(layer: number, x: string): string {
    const parts = ['q', 'k', 'v'].map((part) => `${part}${layer}`);
    const qkv = affine(x, `h.${layer}.attn.c_attn`);
    nodes.push(nodeProto('Split', [qkv], parts, { axis: 2, num_outputs: 3 }));
    const [q, ...keyAndValue] = parts.map((part) =>
      node('Transpose', [node('Reshape', [part, split])], { perm: [0, 2, 1, 3] }),
    ) as [string, string, string];
    const [k, v] = ['key', 'value'].map((kind, i) => {
      const past = `past_key_values.${layer}.${kind}`;
      inputs.push(valueInfo(past, ['batch', heads, 'past', dHead]));
      return node('Concat', [past, keyAndValue[i] as string], { axis: 2 });
    }) as [string, string];
    const scores = node('MatMul', [q, node('Transpose', [k], { perm: [0, 1, 3, 2] })]);
    const masked = node('Add', [node('Mul', [scores, scale]), causal]);
    const z = node('MatMul', [node('Softmax', [masked], { axis: 3 }), v]);
    const rows = node('Reshape', [node('Transpose', [z], { perm: [0, 2, 1, 3] }), merged]);
    return affine(rows, `h.${layer}.attn.c_proj`);
  }

  const resid = (layer: number) => `/model/layers.${layer}/input_layernorm/output_3`;
  const embedded = [
    node('Gather', ['wte.weight', 'input_ids']),
    node('Gather', ['wpe.weight', 'position_ids']),
  ];
  node('Add', embedded, {}, resid(0));
  for (let layer = 0; layer < cfg.n_layer; layer++) {
    const z = attention(layer, norm(resid(layer), `h.${layer}.ln_1`));
    const middle = node('Add', [resid(layer), z]);
    const inner = affine(norm(middle, `h.${layer}.ln_2`), `h.${layer}.mlp.c_fc`);
    const outer = affine(node('Gelu', [inner], { approximate: 'tanh' }), `h.${layer}.mlp.c_proj`);
    node('Add', [middle, outer], {}, resid(layer + 1));
  }
  const unembedding = node('Transpose', ['wte.weight'], { perm: [1, 0] });
  node('MatMul', [norm(resid(cfg.n_layer), 'ln_f'), unembedding], {}, 'logits');
  const outputs = [valueInfo('logits', ['batch', 'sequence', cfg.vocab_size])];
  writeModel(path, { nodes, weights, inputs, outputs });
}
