/**
 * Activations of an ONNX model into an SAE. Exported models give logits only, but a protobuf message is
 * extended by appending to it: some twenty bytes more, and an inner value is an output. No ONNX library,
 * no new export; weights in external files stay where they are.
 *
 *   npm install onnxruntime-node      (it is no dependency of monosem)
 *   node examples/onnx_activations.ts model.onnx /model/layers.3/input_layernorm/output_3 "A text."
 *
 * That value, in models made by onnxruntime-genai (most of onnx-community's), is the residual entering
 * block 3: blocks.2.hook_resid_post. MODEL and SAE in the environment name other folders than the demo's;
 * of MODEL the tokenizer is used. Node 22.18 and newer run TypeScript as it is; before that, use `npx tsx`.
 */
import { readFile } from 'node:fs/promises';
import { HookedTransformer, SAE } from 'monosem';
import { InferenceSession, Tensor } from 'onnxruntime-node';

const [path = 'model.onnx', value = '/model/layers.3/input_layernorm/output_3', text = 'A text.'] =
  process.argv.slice(2);
const { MODEL = 'assets/demo/model', SAE: saePath = 'assets/demo/saes/blocks.2.hook_resid_post' } =
  process.env;

/** A length as protobuf writes it: seven bits to a byte, the lowest first. */
function varint(length: number): number[] {
  return length < 128 ? [length] : [(length % 128) + 128, ...varint(Math.floor(length / 128))];
}

/** A protobuf field that holds a message or a string. */
function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([number * 8 + 2, ...varint(content.length)]), content]);
}

/** ModelProto { graph: 7 { output: 12 { name: 1 } } }, merged into the model's own graph by its reader. */
function exposeOutput(model: Buffer, name: string): Buffer {
  return Buffer.concat([model, field(7, field(12, field(1, Buffer.from(name))))]);
}

/** What the model asks for: the tokens, their mask and positions, and an empty key-value cache. */
function feedsFor({ inputMetadata }: InferenceSession, ids: Int32Array): Record<string, Tensor> {
  const row = (of: (i: number) => number) =>
    new Tensor(
      'int64',
      BigInt64Array.from(ids, (_, i) => BigInt(of(i))),
      [1, ids.length],
    );
  const known: Record<string, () => Tensor> = {
    input_ids: () => row((i) => ids[i] as number),
    attention_mask: () => row(() => 1),
    position_ids: () => row((i) => i),
  };
  const feeds: Record<string, Tensor> = {};
  for (const input of inputMetadata) {
    if (!input.isTensor) continue;
    // Of a cache, [batch, heads, past, d_head], the first length is the batch's, the third 0.
    const empty = input.shape.map((length, dim) => [1, length, 0, length][dim] as number);
    feeds[input.name] = known[input.name]?.() ?? new Tensor(input.type, [], empty);
  }
  return feeds;
}

const session = await InferenceSession.create(exposeOutput(await readFile(path), value));
const model = await HookedTransformer.fromPretrainedNoProcessing(MODEL);
const sae = await SAE.loadFromDisk(saePath);

const tokens = model.toTokens(text, { prependBos: sae.cfg.metadata.prependBos ?? true });
const { [value]: hidden } = await session.run(feedsFor(session, tokens.ids), [value]);
const acts = await sae.encode(hidden!); // as it is: { data, dims, type }

const words = model.toStrTokens(tokens.ids);
for (const [pos, row] of [...(await acts.rows())].entries()) {
  const strongest = row.topk(4).map((hit) => `${hit.feature} (${hit.value.toFixed(2)})`);
  console.log(JSON.stringify(words[pos]).padEnd(18), strongest.join('  '));
}
