import { bundledReleases, type RegistryEntry, type ReleaseEntry } from './data.js';
import type { Release } from './releases.js';

/** What SAE releases call a model where its Hugging Face name differs. */
const registryNames: Readonly<Record<string, string>> = {
  gpt2: 'gpt2-small',
  'mistral-7b-v0.1': 'mistral-7b',
};

/** "google/gemma-2-2b" and "gemma-2-2b" are one model, and so are "openai-community/gpt2" and "gpt2-small". */
function modelKey(model: string): string {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase();
  return registryNames[name] ?? name;
}

/** The whole name, or its last parts: "hook_resid_post" is every layer's. */
function isHook(name: string | undefined, asked: string): boolean {
  return name !== undefined && (name === asked || name.endsWith(`.${asked}`));
}

function searchText(entry: RegistryEntry): string {
  const { release, saeId, repoId, model, hookName, hfHookName = '', neuronpediaId = '' } = entry;
  return [release, saeId, repoId, model, hookName, hfHookName, neuronpediaId]
    .join('\n')
    .toLowerCase();
}

/**
 * The bundled registry of published SAEs, from SAELens 6.44.3: 170 releases, 13,857 SAEs. It is read
 * from the package on first use and needs no network.
 */
export const registry = {
  releases(): readonly ReleaseEntry[] {
    return [...bundledReleases().values()].map(({ release, repoId, model, loader, saes }) => ({
      release,
      repoId,
      model,
      loader,
      saes,
    }));
  },

  /** The SAEs of one release; empty if there is no such release. */
  saes(release: Release): readonly RegistryEntry[] {
    return [...(bundledReleases().get(release)?.entries().values() ?? [])];
  },

  find(release: Release, saeId: string): RegistryEntry | undefined {
    return bundledReleases().get(release)?.find(saeId);
  },

  /**
   * The SAEs that satisfy every condition given. `model` takes a Hugging Face or a TransformerLens
   * name; `hookName` either spelling of a hook point, whole or its last parts; `text` words that must
   * all occur somewhere, in any case.
   */
  search(query: { model?: string; hookName?: string; text?: string }): readonly RegistryEntry[] {
    const { model, hookName, text = '' } = query;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return [...bundledReleases().values()]
      .filter((release) => model === undefined || modelKey(release.model) === modelKey(model))
      .flatMap((release) => [...release.entries().values()])
      .filter(
        (entry) =>
          hookName === undefined ||
          isHook(entry.hookName, hookName) ||
          isHook(entry.hfHookName, hookName),
      )
      .filter((entry) => {
        const haystack = words.length > 0 ? searchText(entry) : '';
        return words.every((word) => haystack.includes(word));
      });
  },
};
