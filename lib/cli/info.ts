import { parseArgs } from 'node:util';
import { UsageError } from './command.js';
import { demoSae, openSae } from './open.js';
import { table } from './table.js';

export const summary = "what an SAE's folder holds";
export const usage = `Usage: monosem info [DIR] [--json]

Loads the SAE in DIR (or RELEASE/SAE_ID of the registry; by default the demo's) and prints what it is:
architecture, sizes, dtype, how its input is normalised, and the model and activation it was trained on.`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean' } },
  });
  if (positionals.length > 1) throw new UsageError(`expected one DIR, got ${positionals.length}`);
  const folder = positionals[0] ?? demoSae;
  using sae = await openSae(folder);
  const { cfg } = sae;
  if (values.json) {
    const { raw: _, ...rest } = cfg;
    console.log(JSON.stringify({ folder, ...rest }, null, 2));
    return 0;
  }
  const { metadata } = cfg;
  const parameters = [sae.W_enc, sae.W_dec, sae.b_dec, sae.b_enc, sae.threshold, sae.W_skip];
  const count = parameters.reduce((sum, tensor) => sum + (tensor?.size ?? 0), 0);
  const rows: [string, string | number | undefined][] = [
    ['folder', folder],
    ['architecture', cfg.architecture],
    ['input', `${cfg.dIn} dimensions`],
    ['features', cfg.dSae],
    ['k', cfg.k],
    [
      'output',
      cfg.dOut === undefined || cfg.dOut === cfg.dIn ? undefined : `${cfg.dOut} dimensions`,
    ],
    ['parameters', count.toLocaleString('en')],
    ['dtype', cfg.dtype],
    ['b_dec subtracted from the input', cfg.applyBDecToInput ? 'yes' : 'no'],
    ['activations normalised', cfg.normalizeActivations],
    [
      'activations reshaped',
      cfg.reshapeActivations === 'none' ? undefined : cfg.reshapeActivations,
    ],
    ['model', metadata.modelName],
    ['reads', metadata.hookName],
    ['writes', metadata.hookNameOut],
    ['context', metadata.contextSize === undefined ? undefined : `${metadata.contextSize} tokens`],
    [
      'BOS prepended',
      metadata.prependBos === undefined ? undefined : metadata.prependBos ? 'yes' : 'no',
    ],
    ['trained on', metadata.datasetPath],
    ['Neuronpedia', metadata.neuronpediaId ?? undefined],
  ];
  console.log(
    table(
      rows.filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]),
      'll',
    ),
  );
  return 0;
}
