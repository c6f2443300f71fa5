/**
 * Features over a file of texts: reads JSON lines with a "text", writes JSON lines with each text's tokens
 * and, token by token, its active features. Memory stays that of one batch, however long the file.
 *
 *   node examples/features_jsonl.ts assets/demo/texts.jsonl > features.jsonl
 *   node examples/features_jsonl.ts FILE [MODEL [SAE]]     folders; the demo's when not given
 *
 * Node 22.18 and newer run TypeScript as it is; before that, `npx tsx examples/features_jsonl.ts`.
 */
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { HookedSAETransformer, SAE } from 'monosem';

const BATCH = 16;
const [
  file = 'assets/demo/texts.jsonl',
  modelPath = 'assets/demo/model',
  saePath = 'assets/demo/saes/blocks.2.hook_resid_post',
] = process.argv.slice(2);

const model = await HookedSAETransformer.fromPretrainedNoProcessing(modelPath);
const sae = await SAE.loadFromDisk(saePath);
const actsName = sae.hookName('hook_sae_acts_post');
const prependBos = sae.cfg.metadata.prependBos ?? true;
const length = Math.min(model.cfg.nCtx, sae.cfg.metadata.contextSize ?? Number.POSITIVE_INFINITY);

/** One line per text: its tokens, and per token [feature, value] pairs, strongest first. */
async function encodeBatch(texts: readonly string[]): Promise<string[]> {
  const ids = texts.map((text) => [...model.toTokens(text, { prependBos }).ids].slice(0, length));
  const { cache } = await model.runWithCacheWithSaes(ids, {
    saes: [sae],
    namesFilter: actsName,
    returnType: null,
  });
  const rows = await cache.get(actsName).rows();
  cache.dispose();
  return ids.map((row, i) => {
    const features = row.map((_, pos) =>
      [...rows.at(i, pos)].map(({ feature, value }) => [feature, Number(value.toFixed(4))]),
    );
    return JSON.stringify({ tokens: model.toStrTokens(row), features });
  });
}

async function* batches(): AsyncGenerator<string[]> {
  const batch: string[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (line.trim() === '') continue;
    batch.push((JSON.parse(line) as { text: string }).text);
    if (batch.length === BATCH) yield batch.splice(0);
  }
  if (batch.length > 0) yield batch;
}

const started = performance.now();
let texts = 0;
for await (const batch of batches()) {
  for (const line of await encodeBatch(batch)) {
    if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
  }
  texts += batch.length;
}
const seconds = (performance.now() - started) / 1000;
console.error(`${texts} texts in ${seconds.toFixed(1)} s`);
