// Writes the bundled registry from the tables of SAELens' pretrained SAEs:
//   node scripts/make_registry.mjs registry.tsv releases.tsv
// registry.tsv has one row per SAE; of releases.tsv only config_overrides is read (a CSV-quoted JSON).
// Out come assets/registry.br, whose format lib/registry/data.ts describes, and the union of release
// names that editors complete, lib/registry/releases.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const [registryPath, releasesPath] = process.argv.slice(2);
if (!registryPath || !releasesPath) {
  console.error('usage: node scripts/make_registry.mjs registry.tsv releases.tsv');
  process.exit(2);
}

function readTable(path) {
  const [header, ...lines] = readFileSync(path, 'utf8').replace(/\n$/, '').split('\n');
  const names = header.split('\t');
  return lines.map((line) => {
    const cells = line.split('\t');
    return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']));
  });
}

const unquote = (cell) => cell.replace(/^"(.*)"$/, '$1').replaceAll('""', '"');
const overridesOf = new Map(
  readTable(releasesPath)
    .filter((row) => row.config_overrides)
    .map((row) => [row.release, JSON.parse(unquote(row.config_overrides))]),
);

const releases = new Map();
for (const row of readTable(registryPath)) {
  if (!releases.has(row.release)) releases.set(row.release, []);
  releases.get(row.release).push(row);
}

/** A number as JavaScript prints it: "3.0" and "3" are one width. */
const number = (cell) => (cell === '' ? '' : String(Number(cell)));

const blocks = [...releases].map(([release, rows]) => {
  const { repo_id: repoId, model, loader } = rows[0];
  if (rows.some((row) => row.repo_id !== repoId || row.model !== model || row.loader !== loader)) {
    throw new Error(`${release} has more than one repository, model or loader`);
  }
  const configOverrides = overridesOf.get(release);
  const header = { release, repoId, model, loader, saes: rows.length, configOverrides };
  const lines = rows.map((row) =>
    [
      row.sae_id,
      row.path === row.sae_id ? '' : row.path,
      row.hook_name,
      row.hf_hook_name,
      number(row.d_sae),
      number(row.l0),
      number(row.variance_explained),
      number(row.norm_scaling_factor),
      row.neuronpedia,
    ]
      .join('\t')
      .trimEnd(),
  );
  return [JSON.stringify(header), ...lines].join('\n');
});

const root = resolve(import.meta.dirname, '..');
const data = brotliCompressSync(blocks.join('\n\n'), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
});
writeFileSync(join(root, 'assets', 'registry.br'), data);

const names = [...releases.keys()].sort();
writeFileSync(
  join(root, 'lib', 'registry', 'releases.ts'),
  `// Written by scripts/make_registry.mjs.

/** The releases of the bundled registry, and any Hugging Face repository id. */
export type Release =
${names.map((name) => `  | '${name}'`).join('\n')}
  | (string & {});
`,
);
console.log(`${releases.size} releases, ${data.length} bytes`);
