/**
 * Which features a prediction rests on: every feature active at the last token is ablated by itself, and
 * the change in the log-probability of the model's own next token is its effect.
 *
 *   node examples/ablate.ts "And God said, Let there be"
 *   node examples/ablate.ts TEXT [MODEL [SAE]]     folders; the demo's when not given
 *
 * Node 22.18 and newer run TypeScript as it is; before that, `npx tsx examples/ablate.ts`.
 */
import { type FeatureActs, HookedSAETransformer, SAE, type Tensor } from 'monosem';

const [
  text = 'And God said, Let there be',
  modelPath = 'assets/demo/model',
  saePath = 'assets/demo/saes/blocks.2.hook_resid_post',
] = process.argv.slice(2);

const model = await HookedSAETransformer.fromPretrainedNoProcessing(modelPath);
const sae = await SAE.loadFromDisk(saePath);
const actsName = sae.hookName('hook_sae_acts_post');

/** Log-probabilities of the token after the text. */
const lastLogProbs = async (logits: Tensor) =>
  (await logits.slice(0, -1).logSoftmax(-1).data()) as Float32Array;
const likeliest = (logProbs: Float32Array) => logProbs.indexOf(Math.max(...logProbs));
const show = (id: number, logProbs: Float32Array) =>
  `${JSON.stringify(model.toText([id]))} ${(100 * Math.exp(logProbs[id]!)).toFixed(1)} %`;

// With the error term the SAE changes nothing by itself: every effect below is the ablation's.
const settings = { saes: [sae], useErrorTerm: true };
const tokens = model.toTokens(text, { prependBos: sae.cfg.metadata.prependBos ?? true });
const { logits, cache } = await model.runWithCacheWithSaes(tokens, settings);
const clean = await lastLogProbs(logits);
const predicted = likeliest(clean);
const active = (await cache.get(actsName).rows()).at(0, -1);
console.log(`${JSON.stringify(text)} -> ${show(predicted, clean)}; ${active.length} features\n`);

const effects = [];
for (const { feature, value } of active) {
  const ablated = await model.runWithHooksWithSaes(tokens, {
    ...settings,
    fwdHooks: [[actsName, (acts: FeatureActs) => acts.zero(feature)]],
  });
  const logProbs = await lastLogProbs(ablated);
  const effect = logProbs[predicted]! - clean[predicted]!;
  effects.push({ feature, value, effect, now: show(likeliest(logProbs), logProbs) });
}

console.log('feature    value   effect (nats)   likeliest without it');
effects.sort((a, b) => a.effect - b.effect);
for (const { feature, value, effect, now } of effects.slice(0, 12)) {
  const columns = [String(feature).padStart(7), value.toFixed(2).padStart(8)];
  console.log(...columns, effect.toFixed(3).padStart(15), ' ', now);
}
