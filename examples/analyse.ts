/**
 * What a text lights up in a model: each token's strongest features, then for the text's strongest
 * features where they fire and which next tokens they argue for.
 *
 *   node examples/analyse.ts "In the beginning the President sent a message to the whale."
 *   node examples/analyse.ts TEXT [MODEL [SAE]]     folders; the demo's when not given
 *
 * Node 22.18 and newer run TypeScript as it is; before that, `npx tsx examples/analyse.ts`.
 */
import { type FeatureHit, HookedSAETransformer, SAE } from 'monosem';

const [
  text = 'In the beginning the President of the United States sent a message to the whale.',
  modelPath = 'assets/demo/model',
  saePath = 'assets/demo/saes/blocks.2.hook_resid_post',
] = process.argv.slice(2);

const model = await HookedSAETransformer.fromPretrainedNoProcessing(modelPath);
const sae = await SAE.loadFromDisk(saePath);
const actsName = sae.hookName('hook_sae_acts_post');

// The run ends at the SAE: nothing after it is asked for.
const { cache, tokens } = await model.runWithCacheWithSaes(text, {
  saes: [sae],
  namesFilter: actsName,
  returnType: null,
});
const rows = [...(await cache.get(actsName).rows())];
const words = model.toStrTokens(tokens.ids);

console.log(`${sae.cfg.metadata.hookName}, ${sae.cfg.dSae} features\n`);
const show = ({ feature, value }: FeatureHit) => `${feature} (${value.toFixed(1)})`;
for (const [pos, row] of rows.entries()) {
  const word = JSON.stringify(words[pos]);
  console.log(
    word.padEnd(18),
    String(row.length).padStart(3),
    ' ',
    row.topk(4).map(show).join('  '),
  );
}

// The text's strongest features, the first position aside: it is like no other in every text.
const strongest = new Map<number, number>();
for (const { feature, value } of rows.slice(1).flatMap((row) => [...row])) {
  strongest.set(feature, Math.max(value, strongest.get(feature) ?? 0));
}
const features = [...strongest].sort((a, b) => b[1] - a[1]).slice(0, 5);

console.log('\nfeature  fires on                                 argues for');
for (const [feature] of features) {
  const where = rows
    .map((row, pos) => ({ pos, value: pos === 0 ? 0 : row.get(feature) }))
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value)
    .slice(0, 3)
    .map(({ pos, value }) => `${JSON.stringify(words[pos])} ${value.toFixed(1)}`);
  // Its direction read by the unembedding: the tokens whose logits it raises most.
  const direct = sae.W_dec.slice([feature, feature + 1]).matmul(model.W_U);
  const likely = (await direct.topk(5).indices.data()) as Int32Array;
  const arguesFor = Array.from(likely, (id) => JSON.stringify(model.toText([id])));
  console.log(String(feature).padEnd(8), where.join(', ').padEnd(40), arguesFor.join(' '));
}
