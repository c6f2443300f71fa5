import { parseArgs, styleText } from 'node:util';
import { type Analysis, analyse } from './analyse.js';
import { oneText, wholeNumber } from './command.js';
import { open, openOptions, openUsage } from './open.js';
import { table, visible } from './table.js';

export const summary = 'the strongest features of every token of a text';
export const usage = `Usage: monosem features "TEXT" [--model M] [--sae S] [--top K] [--json]

Runs TEXT through the model, encodes the activation its SAE reads, and prints each token's strongest
features with their values; then L0, explained variance, the loss as it is and with the SAE's
reconstruction in place, and milliseconds.

${openUsage}
  --top K     features per token, 5 by default
  --json      everything as one JSON object`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ...openOptions,
      top: { type: 'string', default: '5' },
      json: { type: 'boolean' },
    },
  });
  const text = oneText(positionals);
  const top = wholeNumber('top', values.top, 1);
  await using opened = await open(values);
  const analysis = await analyse(opened, text, top);
  if (values.json) {
    const { modelName, saeName, hookName } = opened;
    console.log(JSON.stringify({ model: modelName, sae: saeName, hookName, ...analysis }, null, 2));
  } else {
    console.log(tokensTable(analysis));
    console.log(`\n${numbers(analysis)}`);
  }
  return 0;
}

/** A row per token: the token, then feature:value from the strongest down. */
export function tokensTable({ tokens }: Analysis): string {
  return table(
    tokens.map(({ token, features }) => [
      visible(token),
      features
        .map(({ feature, value }) => `${styleText('cyan', `#${feature}`)} ${value.toFixed(2)}`)
        .join('   ') || styleText('dim', '(not counted)'),
    ]),
    'll',
  );
}

export function numbers(analysis: Analysis): string {
  const { model, encode, decode } = analysis.milliseconds;
  return table(
    [
      ['features per token (L0)', analysis.l0.toFixed(1)],
      ['variance explained', `${(100 * analysis.explainedVariance).toFixed(1)} %`],
      ['loss of the model', `${analysis.loss.toFixed(3)} nats per token`],
      ['loss through the SAE', `${analysis.lossWithSae.toFixed(3)} nats per token`],
      [
        'time',
        `model ${model.toFixed(1)} ms, encode ${encode.toFixed(2)} ms, decode ${decode.toFixed(2)} ms`,
      ],
    ],
    'll',
  );
}
