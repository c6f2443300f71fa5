import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';

/** How a repository is read: the names of SAELens' `NAMED_PRETRAINED_SAE_LOADERS`. */
export type LoaderName =
  | 'sae_lens'
  | 'gemma_2'
  | 'gemma_3'
  | 'gemma_2_transcoder'
  | 'llama_scope'
  | 'llama_scope_r1_distill'
  | 'dictionary_learning_1'
  | 'connor_rob_hook_z'
  | 'deepseek_r1'
  | 'goodfire'
  | 'sparsify'
  | 'mwhanna_transcoder'
  | 'mntss_clt_layer_transcoder'
  | 'temporal'
  | 'qwen_scope';

export interface ReleaseEntry {
  readonly release: string;
  readonly repoId: string;
  readonly model: string;
  readonly loader: LoaderName;
  /** How many SAEs it has. */
  readonly saes: number;
}

/** One published SAE. */
export interface RegistryEntry {
  readonly release: string;
  readonly saeId: string;
  readonly repoId: string;
  /** The folder of the SAE in its repository, a file for some loaders. */
  readonly path: string;
  readonly loader: LoaderName;
  readonly model: string;
  /** TransformerLens' name of the activation that goes in. */
  readonly hookName: string;
  readonly hfHookName?: string;
  readonly dSae: number;
  /** Mean number of active features, as published. */
  readonly l0?: number;
  readonly varianceExplained?: number;
  /** Folded into the weights where the SAE's activations are to be normalised. */
  readonly normScalingFactor?: number;
  readonly neuronpediaId?: string;
}

/** A release as bundled: its SAEs stay text until someone asks for them. */
export interface BundledRelease extends ReleaseEntry {
  /** What SAELens' registry lays over the configuration of every SAE of the release. */
  readonly configOverrides: Readonly<Record<string, unknown>>;
  /** One SAE, without parsing the others. */
  readonly find: (saeId: string) => RegistryEntry | undefined;
  /** By id, in the registry's order. */
  readonly entries: () => ReadonlyMap<string, RegistryEntry>;
}

/** A cell that may be empty, as a property that may be absent. */
function optional<K extends string, V>(key: K, cell: string | undefined, read: (s: string) => V) {
  return (cell ? { [key]: read(cell) } : {}) as { [key in K]?: V };
}

function parseEntry(release: ReleaseEntry, line: string): RegistryEntry {
  const [saeId = '', path, hookName = '', hfHookName, dSae, l0, variance, factor, neuronpediaId] =
    line.split('\t');
  return {
    release: release.release,
    saeId,
    repoId: release.repoId,
    path: path || saeId,
    loader: release.loader,
    model: release.model,
    hookName,
    ...optional('hfHookName', hfHookName, String),
    dSae: Number(dSae),
    ...optional('l0', l0, Number),
    ...optional('varianceExplained', variance, Number),
    ...optional('normScalingFactor', factor, Number),
    ...optional('neuronpediaId', neuronpediaId, String),
  };
}

function parseRelease(block: string): BundledRelease {
  const end = block.indexOf('\n');
  const { configOverrides = {}, ...release } = JSON.parse(block.slice(0, end));
  let entries: ReadonlyMap<string, RegistryEntry> | undefined;
  return {
    ...release,
    configOverrides,
    find(saeId) {
      const start = block.indexOf(`\n${saeId}\t`) + 1;
      if (start === 0) return undefined;
      const stop = block.indexOf('\n', start);
      const entry = parseEntry(release, block.slice(start, stop < 0 ? undefined : stop));
      // An "id" with a tab in it could match more than an id.
      return entry.saeId === saeId ? entry : undefined;
    },
    entries() {
      entries ??= new Map(
        block
          .slice(end + 1)
          .split('\n')
          .map((line) => parseEntry(release, line))
          .map((entry) => [entry.saeId, entry]),
      );
      return entries;
    },
  };
}

let releases: ReadonlyMap<string, BundledRelease> | undefined;

/**
 * The bundled registry, by release. `assets/registry.br` is brotli-compressed text (1.8 MB in 41 kB,
 * 5 ms to expand on first use): a block per release, blocks apart by an empty line. A block's first
 * line is JSON (release, repoId, model, loader, saes, configOverrides); each other line is an SAE in
 * tab-separated cells: id, path (empty if it is the id), hook name, Hugging Face's hook name, d_sae,
 * L0, variance explained, norm scaling factor, Neuronpedia id. Empty cells at the end are left out.
 */
export function bundledReleases(): ReadonlyMap<string, BundledRelease> {
  if (!releases) {
    const file = new URL('../../assets/registry.br', import.meta.url);
    const text = brotliDecompressSync(readFileSync(file)).toString('utf8');
    releases = new Map(
      text
        .split('\n\n')
        .map(parseRelease)
        .map((bundled) => [bundled.release, bundled]),
    );
  }
  return releases;
}
