import { parseArgs } from 'node:util';
import { nearest } from '../nearest.js';
import type { RegistryEntry } from '../registry/data.js';
import { registry } from '../registry/registry.js';
import { wholeNumber } from './command.js';
import { table } from './table.js';

export const summary = 'the published SAEs: list the releases, or search';
export const usage = `Usage: monosem saes [WORD...] [--model NAME] [--hook NAME] [--limit N] [--json]

Without words or options, the releases of the bundled registry. With them, the SAEs that satisfy all:
every WORD somewhere in its names, the model, the hook point (hook_resid_post is every layer's).
RELEASE and ID are what SAE.fromPretrained(release, id) takes.

  --model NAME   a Hugging Face or TransformerLens name, such as google/gemma-2-2b
  --hook NAME    a hook point, or the last parts of its name
  --limit N      at most N lines (default 50; 0 is all); --json has no limit unless given
  --json         an array of objects on stdout`;

function releaseRows(): string[][] {
  return registry
    .releases()
    .map(({ release, model, saes, repoId }) => [release, model, String(saes), repoId]);
}

function saeRows(entries: readonly RegistryEntry[]): string[][] {
  return entries.map(({ release, saeId, model, hookName, dSae, l0 }) => [
    release,
    saeId,
    model,
    hookName,
    String(dSae),
    l0 === undefined ? '' : String(Math.round(l0)),
  ]);
}

function nothingFound(words: readonly string[]): number {
  const names = registry.releases().flatMap(({ release, model }) => [release, model]);
  const near = nearest(words.join('-'), names, 3);
  console.error(
    `monosem: no published SAE matches${near.length > 0 ? `; near are ${near.join(', ')}` : ''}`,
  );
  return 1;
}

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      hook: { type: 'string' },
      limit: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const { model, hook, json } = values;
  const limit = wholeNumber('limit', values.limit ?? (json ? '0' : '50'), 0) || Infinity;

  if (positionals.length === 0 && model === undefined && hook === undefined) {
    if (json) console.log(JSON.stringify(registry.releases().slice(0, limit), null, 2));
    else {
      // The list of releases is what to choose from: all of it unless a limit was asked for.
      const rows = releaseRows().slice(0, values.limit === undefined ? undefined : limit);
      console.log(table([['RELEASE', 'MODEL', 'SAES', 'REPOSITORY'], ...rows], 'llrl'));
    }
    return 0;
  }

  const found = registry.search({
    text: positionals.join(' '),
    ...(model === undefined ? {} : { model }),
    ...(hook === undefined ? {} : { hookName: hook }),
  });
  if (json) {
    console.log(JSON.stringify(found.slice(0, limit), null, 2));
    return found.length > 0 ? 0 : 1;
  }
  if (found.length === 0) return nothingFound([...positionals, model ?? '', hook ?? '']);
  const rows = saeRows(found.slice(0, limit));
  console.log(table([['RELEASE', 'ID', 'MODEL', 'HOOK', 'D_SAE', 'L0'], ...rows], 'llllrr'));
  if (found.length > limit) {
    console.error(
      `${found.length - limit} more: add words, or --limit 0 for all ${found.length} SAEs`,
    );
  }
  return 0;
}
