// The demo's SAE on the demo model's own activations: real ones, where the rest of the bench has
// synthetic ones.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HookedTransformer, SAE } from '../dist/index.js';

const assets = resolve(import.meta.dirname, '..', 'assets', 'demo');

/** Its weights as the peers need them, with b_dec folded into b_enc, and its inputs. */
export async function demoSae({ dIn, dSae }) {
  const folder = join(assets, 'saes', 'blocks.2.hook_resid_post');
  const sae = await SAE.loadFromDisk(folder);
  const names = ['W_enc', 'W_dec', 'b_enc', 'b_dec', 'threshold'];
  const weights = Object.fromEntries(names.map((name) => [name, sae[name].dataSync()]));
  for (let f = 0; f < dSae; f++) {
    let offset = 0;
    for (let i = 0; i < dIn; i++) offset += weights.b_dec[i] * weights.W_enc[i * dSae + f];
    weights.b_enc[f] -= offset;
  }
  const activations = await residualStream(sae.cfg.metadata.hookName);
  sae.dispose();
  return { dIn, dSae, ...weights, folder, input: ({ batch }) => activations(batch * dIn) };
}

/** Activations at this point over the demo's texts, as many numbers as asked for. */
async function residualStream(hookName) {
  const model = await HookedTransformer.fromPretrainedNoProcessing(join(assets, 'model'));
  const texts = readFileSync(join(assets, 'texts.jsonl'), 'utf8').trim().split('\n');
  const numbers = [];
  for (const line of texts.slice(0, 30)) {
    const { text } = JSON.parse(line);
    const options = { namesFilter: hookName, returnType: null };
    const { cache } = await model.runWithCache(text, options);
    numbers.push(...(await cache.get(hookName).data()));
    cache.dispose();
  }
  await model.dispose();
  return (count) => Float32Array.from(numbers.slice(0, count));
}
