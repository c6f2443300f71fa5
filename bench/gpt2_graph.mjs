// GPT-2 as an ONNX graph, for the peer: the same tensors as the safetensors file that we load, so that
// both give the same logits.
import { INT64, nodeProto, tensorProto, valueInfo, writeModel } from './onnx.mjs';

/**
 * ids and positions [S] (int64) and an additive mask [S, S] in, logits [S, vocab] out. `tensors` are
 * [name, shape, values] with Hugging Face's names.
 */
export function writeGpt2(path, { d, layers, heads, vocab }, tensors) {
  const nodes = [];
  const stored = [];
  for (const [name, shape, values] of tensors) stored.push(tensorProto(name, shape, values));
  stored.push(tensorProto('by head', [3], BigInt64Array.of(-1n, BigInt(heads), BigInt(d / heads))));
  stored.push(tensorProto('flat', [2], BigInt64Array.of(-1n, BigInt(d))));
  stored.push(tensorProto('scale', [1], Float32Array.of(1 / Math.sqrt(d / heads))));

  let count = 0;
  const node = (operator, inputs, attributes) => {
    const output = `${operator} ${count++}`;
    nodes.push(nodeProto(operator, inputs, [output], attributes));
    return output;
  };
  const linear = (x, name) => node('Add', [node('MatMul', [x, `${name}.weight`]), `${name}.bias`]);
  const norm = (x, name) =>
    node('LayerNormalization', [x, `${name}.weight`, `${name}.bias`], { epsilon: { float: 1e-5 } });
  const split = (x, perm) => node('Transpose', [node('Reshape', [x, 'by head'])], { perm });
  const attention = (x, at) => {
    const [q, k, v] = ['q', 'k', 'v'].map((part) => `${at} ${part}`);
    nodes.push(
      nodeProto('Split', [linear(x, `${at}.c_attn`)], [q, k, v], { axis: 1, num_outputs: 3 }),
    );
    const products = node('MatMul', [split(q, [1, 0, 2]), split(k, [1, 2, 0])]);
    const scores = node('Add', [node('Mul', [products, 'scale']), 'mask']);
    const z = node('MatMul', [node('Softmax', [scores]), split(v, [1, 0, 2])]);
    const together = node('Transpose', [z], { perm: [1, 0, 2] });
    return linear(node('Reshape', [together, 'flat']), `${at}.c_proj`);
  };

  let x = node('Add', [
    node('Gather', ['wte.weight', 'ids']),
    node('Gather', ['wpe.weight', 'positions']),
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const at = `h.${layer}`;
    x = node('Add', [x, attention(norm(x, `${at}.ln_1`), `${at}.attn`)]);
    const hidden = linear(norm(x, `${at}.ln_2`), `${at}.mlp.c_fc`);
    const acts = node('Gelu', [hidden], { approximate: 'tanh' });
    x = node('Add', [x, linear(acts, `${at}.mlp.c_proj`)]);
  }
  const W_U = node('Transpose', ['wte.weight'], { perm: [1, 0] });
  const logits = node('MatMul', [norm(x, 'ln_f'), W_U]);
  writeModel(path, {
    nodes,
    weights: stored,
    inputs: [
      valueInfo('ids', ['S'], INT64),
      valueInfo('positions', ['S'], INT64),
      valueInfo('mask', ['S', 'S']),
    ],
    outputs: [valueInfo(logits, ['S', vocab])],
  });
}

/** The mask of a causal model: 0 where a token may look, very negative where not. */
export function causalMask(length) {
  const mask = new Float32Array(length * length);
  for (let query = 0; query < length; query++)
    mask.fill(-1e9, query * length + query + 1, (query + 1) * length);
  return mask;
}
