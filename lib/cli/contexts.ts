/** Where features fire strongest over many texts: what makes a number readable. */
import type { Opened } from './open.js';

export interface Context {
  readonly value: number;
  readonly before: string;
  readonly token: string;
  readonly after: string;
}

export interface FeatureContexts {
  readonly feature: number;
  /** The share of tokens on which it is active. */
  readonly density: number;
  /** Its strongest token of each text, strongest first. */
  readonly contexts: readonly Context[];
}

interface Peak {
  readonly value: number;
  readonly words: readonly string[];
  readonly position: number;
}

/**
 * The strongest `count` places of every feature of the SAE, at most one per text, with `around` tokens
 * on each side. `onText` is told how many texts are done.
 */
export async function strongestContexts(
  { model, sae, hookName }: Opened,
  texts: readonly string[],
  { count, around, onText }: { count: number; around: number; onText: (done: number) => void },
): Promise<FeatureContexts[]> {
  const { dSae, metadata } = sae.cfg;
  const prependBos = metadata.prependBos ?? true;
  const skip = prependBos ? 1 : 0;
  const peaks: Peak[][] = Array.from({ length: dSae }, () => []);
  const fired = new Uint32Array(dSae);
  let tokensSeen = 0;
  for (const [index, text] of texts.entries()) {
    const whole = model.toTokens(text, { prependBos }).ids;
    const ids = whole.slice(0, Math.min(model.cfg.nCtx, metadata.contextSize ?? model.cfg.nCtx));
    const { logits, cache } = await model.runWithCache([...ids], {
      prependBos: false,
      namesFilter: hookName,
      returnType: null,
    });
    logits?.dispose();
    using _ = cache;
    using acts = await sae.encode(cache.get(hookName));
    const { rowOffsets, indices, values } = await acts.csr();
    const words = model.toStrTokens(ids);
    const best = new Map<number, Peak>();
    for (let position = skip; position < ids.length; position++) {
      for (let at = rowOffsets[position]!; at < rowOffsets[position + 1]!; at++) {
        const feature = indices[at]!;
        const value = values[at]!;
        fired[feature]!++;
        if (value > (best.get(feature)?.value ?? 0)) best.set(feature, { value, words, position });
      }
    }
    for (const [feature, peak] of best) {
      const list = peaks[feature]!;
      list.push(peak);
      list.sort((a, b) => b.value - a.value);
      if (list.length > count) list.pop();
    }
    tokensSeen += ids.length - skip;
    onText(index + 1);
  }
  return peaks.map((list, feature) => ({
    feature,
    density: fired[feature]! / Math.max(1, tokensSeen),
    contexts: list.map(({ value, words, position }) => ({
      value,
      before: words
        .slice(position - around > skip ? wordStart(words, position - around) : skip, position)
        .join(''),
      token: words[position]!,
      after: words.slice(position + 1, wordStart(words, position + 1 + around)).join(''),
    })),
  }));
}

/** The first position from `at` on where a word begins, so that no context cuts one in half. */
function wordStart(words: readonly string[], at: number): number {
  let start = at;
  while (start < words.length && /^\p{L}/u.test(words[start]!)) start++;
  return start;
}
