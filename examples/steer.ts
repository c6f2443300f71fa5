/**
 * Steers a model while it writes: a feature's direction is added at every token, at a few strengths, and
 * the same sampling shows what that does to the text.
 *
 *   node examples/steer.ts "The President" 994 0 4 6
 *   node examples/steer.ts TEXT FEATURE STRENGTH...
 *
 * Strengths are in units of the feature's activations. MODEL and SAE in the environment name other
 * folders than the demo's. Node 22.18 and newer run TypeScript as it is; before that, use `npx tsx`.
 */
import { type FeatureActs, HookedSAETransformer, SAE } from 'monosem';

const [text = 'The President', featureText = '994', ...strengthTexts] = process.argv.slice(2);
const feature = Number(featureText);
const strengths = strengthTexts.length > 0 ? strengthTexts.map(Number) : [0, 4, 6];
const { MODEL = 'assets/demo/model', SAE: saePath = 'assets/demo/saes/blocks.2.hook_resid_post' } =
  process.env;

const model = await HookedSAETransformer.fromPretrainedNoProcessing(MODEL);
const sae = await SAE.loadFromDisk(saePath);

for (const strength of strengths) {
  process.stdout.write(`\n${feature} + ${strength}: ${text}`);
  const steered = model.generateStream(text, {
    saes: [sae],
    useErrorTerm: true, // what the SAE misses stays: strength 0 is the model as it is
    excludeSpecialTokens: true, // BOS is like no other token; steering it derails the model
    fwdHooks: [
      [sae.hookName('hook_sae_acts_post'), (acts: FeatureActs) => acts.add(feature, strength)],
    ],
    maxNewTokens: 40,
    temperature: 0.7,
    topP: 0.95,
    seed: 1,
  });
  for await (const { text: piece } of steered) process.stdout.write(piece);
  process.stdout.write('\n');
}
