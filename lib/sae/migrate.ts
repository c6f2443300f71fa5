/**
 * Configurations as they were written before SAELens 6 (flat, other names, other defaults), and those
 * that loaders make up for formats without one, brought to SAELens 6's form. The rules are
 * `handle_config_defaulting` of SAELens 6.44.
 */
import { MonosemError } from '../error.js';
import { configKeys, field, isObject, type Json } from './config.js';

/** The version of the format `saveModel` writes. */
export const CONFIG_VERSION = '6.44.3';

const RENAMED: ReadonlyMap<string, string> = new Map([
  ['hook_point', 'hook_name'],
  ['hook_point_head_index', 'hook_head_index'],
  ['activation_fn_str', 'activation_fn'],
]);

const DEFAULTS: Json = {
  prepend_bos: true,
  apply_b_dec_to_input: true,
  activation_fn: 'relu',
  architecture: 'standard',
  neuronpedia_id: null,
  sae_lens_training_version: null,
  device: 'cpu',
  normalize_activations: 'none',
};

/** The flat entries that became metadata; all others are dropped. */
const METADATA: readonly string[] = [
  'model_name',
  'hook_name',
  'model_class_name',
  'hook_head_index',
  'model_from_pretrained_kwargs',
  'prepend_bos',
  'exclude_special_tokens',
  'neuronpedia_id',
  'context_size',
  'seqpos_slice',
  'dataset_path',
  'sae_lens_version',
  'sae_lens_training_version',
  'hook_name_out',
  'hook_head_index_out',
  'hf_hook_name',
  'hf_hook_name_out',
];

/**
 * A configuration dictionary in SAELens 6's form. One that says it was written by SAELens 6 or later
 * comes back as it is. Throws ERR_FORMAT for a version or an entry that cannot be understood.
 */
export function migrateConfig(flat: Json): Record<string, unknown> {
  if (!isOlder(versionOf(flat))) return { ...flat };
  // Renaming keeps the order of the entries: of an old name and its new one, the later wins.
  const entries = new Map(Object.entries(flat).map(([k, v]) => [RENAMED.get(k) ?? k, v]));
  for (const [key, value] of Object.entries(DEFAULTS)) {
    if (!entries.has(key)) entries.set(key, value);
  }
  if (!entries.has('reshape_activations')) {
    entries.set('reshape_activations', reshapeFor(entries.get('hook_name')));
  }
  settleTopK(entries);
  const normalize = entries.get('normalize_activations');
  if (normalize === null || typeof normalize === 'boolean') {
    entries.set('normalize_activations', normalize ? 'expected_average_only_in' : 'none');
  }
  const architecture = entries.get('architecture');
  if (typeof architecture !== 'string') {
    throw new MonosemError(
      'ERR_FORMAT',
      `cfg.json: architecture must be a string, got ${JSON.stringify(architecture)}`,
    );
  }
  const kept = configKeys(architecture);
  const pick = (keys: Iterable<string>) =>
    [...keys].filter((key) => entries.has(key)).map((key) => [key, entries.get(key)] as const);
  return {
    ...Object.fromEntries(pick(kept)),
    metadata: Object.fromEntries(pick(METADATA)),
    architecture,
  };
}

/** The metadata to write: with a version, without which a reader would take the file for an old one. */
export function versionedMetadata(metadata: Json): Json {
  const version = field(metadata, 'sae_lens_version');
  const old = typeof version !== 'string' || isOlder(version);
  return old ? { ...metadata, sae_lens_version: CONFIG_VERSION } : metadata;
}

function settleTopK(entries: Map<string, unknown>): void {
  const kwargs = entries.get('activation_fn_kwargs');
  if (entries.get('activation_fn') === 'topk' && entries.has('activation_fn_kwargs')) {
    if (!isObject(kwargs)) {
      throw new MonosemError(
        'ERR_FORMAT',
        `cfg.json: activation_fn_kwargs must be an object, got ${JSON.stringify(kwargs)}`,
      );
    }
    if ((field(kwargs, 'k') ?? null) !== null) entries.set('architecture', 'topk');
  }
  if (entries.get('architecture') !== 'topk' || !isObject(kwargs)) return;
  const k = field(kwargs, 'k');
  if (k === undefined) {
    throw new MonosemError(
      'ERR_FORMAT',
      'cfg.json: a topk SAE of the old form needs activation_fn_kwargs.k',
    );
  }
  entries.set('k', k);
}

function reshapeFor(hookName: unknown): string {
  if (hookName === undefined) return 'none';
  if (typeof hookName === 'string') return hookName.includes('hook_z') ? 'hook_z' : 'none';
  throw new MonosemError(
    'ERR_FORMAT',
    `cfg.json: hook_name must be a string, got ${JSON.stringify(hookName)}`,
  );
}

function versionOf(flat: Json): unknown {
  const metadata = field(flat, 'metadata');
  const nested = isObject(metadata) ? field(metadata, 'sae_lens_version') : undefined;
  return field(flat, 'sae_lens_version') || nested;
}

/** PEP 440: epoch, release, pre-release letter and number, dev. What follows does not decide here. */
const VERSION =
  /^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?(?:-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?([-_.]?dev[-_.]?\d*)?(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?\s*$/i;

/** Whether a version comes before 6.0.0rc0, the first to write today's form; nothing does. */
function isOlder(version: unknown): boolean {
  if (version === undefined || version === null || version === '') return true;
  const parsed = typeof version === 'string' ? VERSION.exec(version) : null;
  if (parsed === null) {
    throw new MonosemError(
      'ERR_FORMAT',
      `cfg.json: sae_lens_version ${JSON.stringify(version)} is not a version`,
    );
  }
  const [, epoch, release, letter, number, dev] = parsed;
  if (Number(epoch ?? 0) > 0) return false;
  const [major = 0, ...minor] = (release as string).split('.').map(Number);
  if (major !== 6) return major < 6;
  if (minor.some((part) => part > 0)) return false;
  if (letter === undefined) return dev !== undefined;
  if (/^(a|b|alpha|beta)$/i.test(letter)) return true;
  return Number(number || 0) === 0 && dev !== undefined;
}
