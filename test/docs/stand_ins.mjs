// Loaded before a documentation program runs: whatever it asks the hub for is the demo's instead.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as monosem from 'monosem';

const { SAE, HookedTransformer } = monosem;
const demo = join(import.meta.dirname, '..', '..', 'assets', 'demo');
const demoSae = join(demo, 'saes', 'blocks.2.hook_resid_post');
const demoModel = join(demo, 'model');
const local = (path, otherwise) => (existsSync(path) ? path : otherwise);

/** Only what has a meaning on disk: where a file came from has none. */
const kept = ({ device, dtype, precision } = {}) => ({
  ...(device && { device }),
  ...(dtype && { dtype }),
  ...(precision && { precision }),
});

SAE.fromPretrained = (_release, _saeId, options) => SAE.loadFromDisk(demoSae, kept(options));
const { loadFromDisk } = SAE;
SAE.loadFromDisk = (path, options) => loadFromDisk.call(SAE, local(path, demoSae), options);

function standIn(owner, method) {
  const original = owner?.[method];
  if (!original) return;
  owner[method] = function (name, options) {
    return original.call(this, local(name, demoModel), options);
  };
}
standIn(HookedTransformer, 'fromPretrained');
standIn(HookedTransformer, 'fromPretrainedNoProcessing');
for (const name of ['AutoModel', 'AutoModelForCausalLM', 'LanguageModel']) {
  standIn(monosem[name], 'fromPretrained');
}
