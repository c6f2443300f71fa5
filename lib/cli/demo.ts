import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { type Analysis, analyse } from './analyse.js';
import { type Context, type FeatureContexts, strongestContexts } from './contexts.js';
import { numbers, tokensTable } from './features.js';
import { demo, type Opened, open } from './open.js';
import { progressBar } from './progress.js';
import { table } from './table.js';

const defaultText = 'The captain saw a white whale, and the President asked Congress for peace.';

export const summary = 'a first look: a text, its features, and what they mean';
export const usage = `Usage: monosem demo ["TEXT"]

With the small model and SAE that come with the package, offline: each token's strongest features, how
good the reconstruction is, and for some of those features the places in other texts where they are
strongest. TEXT is by default "${defaultText}"`;

/** A feature on more of the tokens than this says where a token stands, not what it is. */
const everywhere = 0.2;
const shownFeatures = 6;

export async function run(args: string[]): Promise<number> {
  const { positionals } = parseArgs({ args, allowPositionals: true });
  await using opened = await open({});
  const { sae, model } = opened;
  const text = positionals.join(' ') || defaultText;
  const texts = await demoTexts();
  const started = performance.now();
  const features = await readAll(opened, texts);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const analysis = await analyse(opened, text, sae.cfg.dSae);
  const { shown, hidden } = strongest(analysis, features, 4);

  console.log(
    `A language model of ${model.cfg.nLayers} layers reads a text. A sparse autoencoder (SAE) of ${sae.cfg.dSae} features\n` +
      `looks at its residual stream (${opened.hookName}) and says, for every\n` +
      'token, which few features are on. The strongest, with their values:\n',
  );
  console.log(tokensTable(shown));
  console.log(`\n${numbers(analysis)}`);
  console.log(
    `\nNot shown: ${hidden.map((feature) => `#${feature}`).join(', ')}, on at more than ${100 * everywhere} % of all tokens.\n\n` +
      `What is a feature? Here is where some of them are strongest in ${texts.length} other passages (${seconds} s):`,
  );
  for (const feature of telling(shown, features)) console.log(`\n${featureBlock(feature)}`);
  console.log(
    '\nYour own text: npx monosem features "TEXT". Turn a feature up: npx monosem steer "TEXT" --feature N',
  );
  return 0;
}

async function readAll(opened: Opened, texts: readonly string[]): Promise<FeatureContexts[]> {
  const bar = progressBar(`reading ${texts.length} passages`);
  try {
    return await strongestContexts(opened, texts, {
      count: 4,
      around: 7,
      onText: (done) => bar(done, texts.length),
    });
  } finally {
    bar.end();
  }
}

async function demoTexts(): Promise<string[]> {
  const lines = (await readFile(join(demo, 'texts.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { text: string }).text);
}

/** Each token's `top` strongest features, without those that are on everywhere. */
function strongest(analysis: Analysis, all: readonly FeatureContexts[], top: number) {
  const hidden = new Set<number>();
  const tokens = analysis.tokens.map(({ token, features }) => ({
    token,
    features: features
      .filter(({ feature }) => {
        if (all[feature]!.density <= everywhere) return true;
        hidden.add(feature);
        return false;
      })
      .slice(0, top),
  }));
  return { shown: { ...analysis, tokens }, hidden: [...hidden].sort((a, b) => a - b) };
}

/**
 * The features of this text that say most, in its order: for each token the one that is near its own
 * maximum here and rare elsewhere, if it is rare enough to be about a meaning.
 */
function telling({ tokens }: Analysis, all: readonly FeatureContexts[]): FeatureContexts[] {
  const scores = new Map<FeatureContexts, number>();
  for (const { features } of tokens) {
    const scored = features
      .map(({ feature, value }) => ({ of: all[feature]!, value }))
      .filter(({ of }) => of.density < 0.008 && of.contexts.length >= 4)
      .map(({ of, value }) => ({
        of,
        score: (value / of.contexts[0]!.value) * Math.log(1 / of.density),
      }))
      .sort((a, b) => b.score - a.score);
    const [best] = scored;
    if (best) scores.set(best.of, Math.max(best.score, scores.get(best.of) ?? 0));
  }
  const chosen = [...scores].sort((a, b) => b[1] - a[1]).slice(0, shownFeatures);
  return [...scores.keys()].filter((feature) => chosen.some(([one]) => one === feature));
}

function featureBlock({ feature, density, contexts }: FeatureContexts): string {
  const title = `${styleText('cyan', `#${feature}`)}  on ${(100 * density).toFixed(2)} % of tokens`;
  const rows = contexts.map((context) => [
    `  ${context.value.toFixed(2)}`,
    oneLine(context.before),
    marked(context) + oneLine(context.after),
  ]);
  return `${title}\n${table(rows, 'rrl')}`;
}

/** The token itself, brighter on a terminal, in brackets elsewhere. */
function marked({ token }: Context): string {
  const space = token.startsWith(' ') ? ' ' : '';
  const word = oneLine(token.trim());
  const styled = styleText('bgYellow', styleText('black', word));
  return space + (styled === word ? `[${word}]` : styled);
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ');
