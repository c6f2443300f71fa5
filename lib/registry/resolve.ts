import { MonosemError } from '../error.js';
import { nearest } from '../nearest.js';
import {
  type BundledRelease,
  bundledReleases,
  type LoaderName,
  type RegistryEntry,
} from './data.js';
import type { Release } from './releases.js';

/** Where an SAE is and how it is read. What only the registry knows is absent for other repositories. */
export interface ResolvedSae
  extends Partial<Omit<RegistryEntry, 'release' | 'saeId' | 'repoId' | 'path' | 'loader'>> {
  readonly release: string;
  readonly saeId: string;
  readonly repoId: string;
  readonly path: string;
  readonly loader: LoaderName;
  /** The release's, without the Neuronpedia id, which SAELens' loaders also lay over the configuration. */
  readonly configOverrides: Readonly<Record<string, unknown>>;
  /** What the caller may want to know: that the repository belongs to releases which fit it better. */
  readonly notes: readonly string[];
}

const quoted = (names: Iterable<string>) => [...names].map((name) => `"${name}"`).join(', ');

const sentences = (parts: readonly (string | undefined)[]) => parts.filter(Boolean).join(' ');

/** "Did you mean …?", or nothing. */
function didYouMean(name: string, candidates: Iterable<string>): string | undefined {
  const near = nearest(name, candidates, 3);
  return near.length > 0 ? `Did you mean ${quoted(near)}?` : undefined;
}

/** The releases kept in a repository. */
function releasesOf(repoId: string): readonly BundledRelease[] {
  const wanted = repoId.toLowerCase();
  return [...bundledReleases().values()].filter(
    (release) => release.repoId.toLowerCase() === wanted,
  );
}

/** The names under which the registry has what `asked` calls by an id or by a path. */
function namesOf(asked: string, releases: readonly BundledRelease[]): string[] {
  return releases.flatMap(({ release, entries }) =>
    [...entries().values()]
      .filter(({ saeId, path }) => saeId === asked || path === asked)
      .map(({ saeId }) => `("${release}", "${saeId}")`),
  );
}

function unknownRelease(release: string): MonosemError {
  const byName = [...bundledReleases().values()]
    .filter(({ repoId }) => repoId.toLowerCase().endsWith(`/${release.toLowerCase()}`))
    .map((bundled) => bundled.release);
  return new MonosemError(
    'ERR_NOT_FOUND',
    sentences([
      `No release "${release}" in the registry, and it is not a Hugging Face repository id ("owner/name") either.`,
      byName.length > 0
        ? `A repository of that name belongs to ${quoted(byName.slice(0, 5))}.`
        : didYouMean(release, bundledReleases().keys()),
      'registry.releases(), or npx monosem saes, lists them all.',
    ]),
  );
}

/** Gemma Scope has releases of one recommended L0 per layer and width beside those of every L0. */
function canonicalHint(release: string, saeId: string): string | undefined {
  const canonical = bundledReleases().get(`${release}-canonical`);
  if (!canonical) return undefined;
  const ids = nearest(saeId.replace(/average_l0_\d+$/, 'canonical'), canonical.entries().keys(), 2);
  return `Ids here name an L0; "${canonical.release}" has one SAE per layer and width${
    ids.length > 0 ? `, such as ${quoted(ids)}` : ''
  }.`;
}

function unknownId(bundled: BundledRelease, saeId: string): MonosemError {
  const { release, repoId, saes, entries } = bundled;
  const elsewhere = namesOf(saeId, releasesOf(repoId)).slice(0, 3);
  const ids = [...entries().keys()];
  return new MonosemError(
    'ERR_NOT_FOUND',
    sentences([
      `No SAE "${saeId}" in release "${release}".`,
      elsewhere.length > 0 ? `The registry has it as ${elsewhere.join(', ')}.` : undefined,
      elsewhere.length > 0
        ? undefined
        : (didYouMean(saeId, ids) ?? `Its ids look like ${quoted(ids.slice(0, 3))}.`),
      canonicalHint(release, saeId),
      `registry.saes("${release}") lists all ${saes}.`,
    ]),
  );
}

function resolveRepository(repoId: string, path: string): ResolvedSae {
  const releases = releasesOf(repoId);
  const names = namesOf(path, releases).slice(0, 3);
  const better =
    names.length > 0 ? names.join(', ') : quoted(releases.map(({ release }) => release));
  const notes =
    releases.length > 0
      ? [
          `"${repoId}" is the repository of registered releases, whose names choose the right loader and settings. Read it as ${better} instead.`,
        ]
      : [];
  return {
    release: repoId,
    saeId: path,
    repoId,
    path,
    loader: 'sae_lens',
    configOverrides: {},
    notes,
  };
}

/**
 * Finds an SAE by SAELens' rule: a release of the registry and one of its ids, or else a Hugging Face
 * repository id and a folder in it, in SAELens' own format. Throws ERR_NOT_FOUND with what is near.
 */
export function resolve(release: Release, saeId: string): ResolvedSae {
  if (typeof release !== 'string' || typeof saeId !== 'string') {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `expected a release and the id of one of its SAEs, two strings, got ${typeof release} and ${typeof saeId}`,
    );
  }
  const bundled = bundledReleases().get(release);
  if (!bundled) {
    if (!/^[\w.-]+\/[\w.-]+$/.test(release)) throw unknownRelease(release);
    return resolveRepository(release, saeId);
  }
  const entry = bundled.find(saeId);
  if (!entry) throw unknownId(bundled, saeId);
  return { ...entry, configOverrides: bundled.configOverrides, notes: [] };
}
