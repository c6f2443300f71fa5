// Writes ONNX models without a library: an ONNX file is one protobuf message, and these graphs need
// six of its message types. Field numbers are those of onnx.proto3.
import { writeFileSync } from 'node:fs';

// TensorProto.DataType
const FLOAT = 1;
export const INT64 = 7;
const WIRE_VARINT = 0;
const WIRE_BYTES = 2;

function varint(value) {
  const bytes = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

const integer = (field, value) => Buffer.concat([varint(field * 8 + WIRE_VARINT), varint(value)]);

function bytes(field, content) {
  const body = Buffer.isBuffer(content) ? content : Buffer.from(content);
  return Buffer.concat([varint(field * 8 + WIRE_BYTES), varint(body.length), body]);
}

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9; of a Float32Array or a BigInt64Array. */
export function tensorProto(name, dims, data) {
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([
    ...dims.map((length) => integer(1, length)),
    integer(2, data instanceof BigInt64Array ? INT64 : FLOAT),
    bytes(8, name),
    bytes(9, raw),
  ]);
}

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20. A number is a whole one, or { float }. */
function attributeProto(name, value) {
  const kinds = () => {
    if (typeof value === 'string') return [3, bytes(4, value)];
    if (typeof value === 'number') return [2, integer(3, value)];
    if (Array.isArray(value)) return [7, ...value.map((one) => integer(8, one))];
    const float = Buffer.alloc(5, (2 << 3) | 5); // wire type 5: 32 bits
    float.writeFloatLE(value.float, 1);
    return [1, float];
  };
  const [type, ...values] = kinds();
  return Buffer.concat([bytes(1, name), ...values, integer(20, type)]);
}

/** NodeProto: input 1, output 2, op_type 4, attribute 5. */
export function nodeProto(operator, inputs, outputs, attributes = {}) {
  return Buffer.concat([
    ...inputs.map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(4, operator),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attributeProto(name, value))),
  ]);
}

/** ValueInfoProto of a tensor; a string is a symbolic length. */
export function valueInfo(name, dims, elementType = FLOAT) {
  const shape = dims.map((length) =>
    bytes(1, typeof length === 'string' ? bytes(2, length) : integer(1, length)),
  );
  const type = bytes(1, Buffer.concat([integer(1, elementType), bytes(2, Buffer.concat(shape))]));
  return Buffer.concat([bytes(1, name), bytes(2, type)]);
}

/** ModelProto: ir_version 1, graph 7, opset_import 8; GraphProto: node 1, name 2, initializer 5. */
export function writeModel(path, { nodes, weights, inputs, outputs }) {
  const graph = Buffer.concat([
    ...nodes.map((node) => bytes(1, node)),
    bytes(2, 'graph'),
    ...weights.map((weight) => bytes(5, weight)),
    ...inputs.map((input) => bytes(11, input)),
    ...outputs.map((output) => bytes(12, output)),
  ]);
  writeFileSync(path, Buffer.concat([integer(1, 8), bytes(7, graph), bytes(8, integer(2, 20))]));
}

/** relu(x W_enc + b_enc), and 0 where that is not above the threshold of an SAE that has one. */
const encoderNodes = ({ threshold }) => [
  nodeProto('MatMul', ['x', 'W_enc'], ['product']),
  nodeProto('Add', ['product', 'b_enc'], ['pre']),
  nodeProto('Relu', ['pre'], [threshold ? 'positive' : 'acts']),
  ...(threshold
    ? [
        nodeProto('Greater', ['pre', 'threshold'], ['on']),
        nodeProto('Where', ['on', 'positive', 'zero'], ['acts']),
      ]
    : []),
];
const encoderWeights = ({ W_enc, b_enc, threshold, dIn, dSae }) => [
  tensorProto('W_enc', [dIn, dSae], W_enc),
  tensorProto('b_enc', [dSae], b_enc),
  ...(threshold
    ? [tensorProto('threshold', [dSae], threshold), tensorProto('zero', [1], new Float32Array(1))]
    : []),
];
const decoderNode = nodeProto('Gemm', ['acts', 'W_dec', 'b_dec'], ['recons']);
const decoderWeights = ({ W_dec, b_dec, dIn, dSae }) => [
  tensorProto('W_dec', [dSae, dIn], W_dec),
  tensorProto('b_dec', [dIn], b_dec),
];

/** acts [B, d_sae] of x [B, d_in]. */
export function writeEncoder(path, sae) {
  writeModel(path, {
    nodes: encoderNodes(sae),
    weights: encoderWeights(sae),
    inputs: [valueInfo('x', ['B', sae.dIn])],
    outputs: [valueInfo('acts', ['B', sae.dSae])],
  });
}

/** The k largest activations per row: values, and indices. */
export function writeTopK(path, sae, k) {
  writeModel(path, {
    nodes: [...encoderNodes(sae), nodeProto('TopK', ['acts', 'k'], ['values', 'indices'])],
    weights: [...encoderWeights(sae), tensorProto('k', [1], BigInt64Array.of(BigInt(k)))],
    inputs: [valueInfo('x', ['B', sae.dIn])],
    outputs: [valueInfo('values', ['B', k]), valueInfo('indices', ['B', k], INT64)],
  });
}

/** recons = acts W_dec + b_dec, acts dense [B, d_sae]. */
export function writeDecoder(path, sae) {
  writeModel(path, {
    nodes: [decoderNode],
    weights: decoderWeights(sae),
    inputs: [valueInfo('acts', ['B', sae.dSae])],
    outputs: [valueInfo('recons', ['B', sae.dIn])],
  });
}

/** Encode, decode, and the error added back: what is spliced into a model. */
export function writePass(path, sae) {
  writeModel(path, {
    nodes: [
      ...encoderNodes(sae),
      decoderNode,
      nodeProto('Sub', ['x', 'recons'], ['error']),
      nodeProto('Add', ['recons', 'error'], ['out']),
    ],
    weights: [...encoderWeights(sae), ...decoderWeights(sae)],
    inputs: [valueInfo('x', ['B', sae.dIn])],
    outputs: [valueInfo('out', ['B', sae.dIn])],
  });
}
