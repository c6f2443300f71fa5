import { parseArgs, styleText } from 'node:util';
import type { FeatureActs, FwdHook, SaeActsHook, Tensor } from '../index.js';
import { MonosemError } from '../index.js';
import { number } from './analyse.js';
import { finiteNumber, oneText, UsageError, wholeNumber } from './command.js';
import { type Opened, open, openOptions, openUsage } from './open.js';
import { table, visible } from './table.js';

export const summary = 'turn one feature up or down and see what the model says next';
export const usage = `Usage: monosem steer "TEXT" --feature N [--strength S] [--model M] [--sae S] [--top K] [--json]

Adds S to feature N at every token but BOS, with the SAE's error kept, so that nothing else changes;
prints the loss, the likeliest next tokens and how the model goes on, as it is and with the change.

  --feature N   which feature
  --strength S  how much to add to it, 10 by default; negative turns it down
${openUsage}
  --top K       next tokens to show, 8 by default
  --tokens N    tokens to go on for, 24 by default; the likeliest each time
  --json        everything as one JSON object`;

interface Side {
  readonly loss: number;
  readonly next: readonly { readonly token: string; readonly probability: number }[];
  readonly continuation: string;
}

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...openOptions,
      feature: { type: 'string' },
      strength: { type: 'string', default: '10' },
      top: { type: 'string', default: '8' },
      tokens: { type: 'string', default: '24' },
      json: { type: 'boolean' },
    },
  });
  const text = oneText(positionals);
  if (values.feature === undefined) throw new UsageError('--feature says which feature to steer');
  const feature = wholeNumber('feature', values.feature, 0);
  const strength = finiteNumber('strength', values.strength);
  const top = wholeNumber('top', values.top, 1);
  const maxNewTokens = wholeNumber('tokens', values.tokens, 0);

  await using opened = await open(values);
  const { dSae } = opened.sae.cfg;
  if (feature >= dSae) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `--feature expects one of this SAE's ${dSae} features, 0 to ${dSae - 1}, got ${feature}`,
    );
  }
  const wanted = { text, top, maxNewTokens };
  const before = await side(opened, wanted);
  const after = await side(opened, wanted, { feature, strength });
  if (values.json) {
    console.log(JSON.stringify({ text, feature, strength, before, after }, null, 2));
    return 0;
  }
  const steered = `#${feature} ${strength < 0 ? '-' : '+'} ${Math.abs(strength)}`;
  console.log(
    table(
      [
        ['', 'as it is', '', steered, ''],
        ['loss', before.loss.toFixed(3), '', after.loss.toFixed(3), ''],
        ...before.next.map((then, i) => [
          i === 0 ? 'next token' : '',
          ...cells(then),
          ...cells(after.next[i]!),
        ]),
      ],
      'llrlr',
    ),
  );
  for (const [title, { continuation }] of [
    ['as it is', before],
    [steered, after],
  ] as const) {
    console.log(`\n${styleText('dim', `${title}:`)} ${text}${styleText('cyan', continuation)}`);
  }
  return 0;
}

function cells({ token, probability }: Side['next'][number]): [string, string] {
  return [visible(token), `${(100 * probability).toFixed(1)} %`];
}

async function side(
  { model, sae }: Opened,
  { text, top, maxNewTokens }: { text: string; top: number; maxNewTokens: number },
  steer?: { feature: number; strength: number },
): Promise<Side> {
  const prependBos = sae.cfg.metadata.prependBos ?? true;
  const tokens = model.toTokens(text, { prependBos });
  const fwdHooks: FwdHook[] = [];
  if (steer) {
    const name = sae.hookName('hook_sae_acts_post') as SaeActsHook;
    fwdHooks.push([name, (acts: FeatureActs) => void acts.add(steer.feature, steer.strength)]);
  }
  const options = { saes: [sae], useErrorTerm: true, excludeSpecialTokens: true, fwdHooks };
  const loss = await number(model.runWithHooksWithSaes(tokens, { ...options, returnType: 'loss' }));
  using logits = await model.runWithHooksWithSaes(tokens, options);
  const next = await likeliest(logits, top, (id) => model.toText([id]));
  let continuation = '';
  const generating = { ...options, maxNewTokens, temperature: 0, prependBos };
  for await (const step of model.generateStream(text, generating)) continuation += step.text;
  return { loss, next, continuation };
}

/** The most probable tokens after the last one of the first row. */
async function likeliest(
  logits: Tensor,
  top: number,
  word: (id: number) => string,
): Promise<Side['next']> {
  using probabilities = logits.at(0, -1).softmax();
  const { values, indices } = probabilities.topk(Math.min(top, probabilities.size));
  using _values = values;
  using _indices = indices;
  const [shares, ids] = await Promise.all([values.data(), indices.data()]);
  return Array.from(shares, (probability, i) => ({ token: word(ids[i]!), probability }));
}
