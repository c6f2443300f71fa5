// Loaded before a documentation program runs. Of a Gemma Scope's sizes the files say nothing, its names
// say all; the test hub's is smaller than its name, and these overrides tell the loader so.
import { SAE } from 'monosem';

const cfgOverrides = { d_in: 64, d_sae: 5120 };

for (const method of ['fromPretrained', 'fetchDecoderRow']) {
  const original = SAE[method];
  SAE[method] = function (release, saeId, ...rest) {
    if (!release.startsWith('gemma-scope-2b')) return original.call(this, release, saeId, ...rest);
    const options = typeof rest.at(-1) === 'object' ? rest.pop() : {};
    return original.call(this, release, saeId, ...rest, { ...options, cfgOverrides });
  };
}
