import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import type { DType } from '../native.js';
import { nearest } from '../nearest.js';
import type { Architecture } from './architectures/architecture.js';
import { architectures } from './architectures/index.js';

/** cfg.json or one of its parts, as parsed. */
export type Json = Readonly<Record<string, unknown>>;

/** What is known about where an SAE belongs. Anything missing reads as undefined. */
export interface SAEMetadata {
  readonly modelName?: string;
  readonly hookName?: string;
  readonly hookNameOut?: string;
  readonly hfHookName?: string;
  readonly hfHookNameOut?: string;
  readonly hookHeadIndex?: number | null;
  readonly contextSize?: number;
  readonly prependBos?: boolean;
  readonly neuronpediaId?: string | null;
  readonly datasetPath?: string;
  readonly modelFromPretrainedKwargs?: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

/** An SAE's configuration, SAELens 6's cfg.json with camelCase names. */
export interface SAEConfig {
  readonly architecture: string;
  readonly dIn: number;
  readonly dSae: number;
  /** Transcoders: the width of what they write. */
  readonly dOut?: number;
  readonly dtype: DType;
  readonly device: Device;
  readonly applyBDecToInput: boolean;
  readonly normalizeActivations: string;
  readonly reshapeActivations: 'none' | 'hook_z';
  /** topk */
  readonly k?: number;
  readonly rescaleActsByDecoderNorm?: boolean;
  /** temporal */
  readonly nHeads?: number;
  readonly nAttnLayers?: number;
  readonly bottleneckFactor?: number;
  readonly saeDiffType?: 'relu' | 'topk';
  readonly kvalTopk?: number | null;
  readonly tiedWeights?: boolean;
  readonly activationNormalizationFactor?: number;
  /** matching_pursuit */
  readonly residualThreshold?: number;
  readonly maxIterations?: number | null;
  readonly stopOnDuplicateSupport?: boolean;
  readonly metadata: SAEMetadata;
  /** cfg.json as it was read, for round trips. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** One entry of cfg.json: its name there and here, what it may hold, and what a missing one means. */
export interface Field {
  readonly json: string;
  readonly name: keyof SAEConfig;
  readonly type: 'dimension' | 'number' | 'boolean' | 'dimension or null' | readonly string[];
  /** Absent: the entry is required. */
  readonly fallback?: number | boolean | string | null;
}

const DTYPES: readonly string[] = ['float32', 'float64', 'float16', 'bfloat16'];
const NORMALIZATIONS: readonly string[] = [
  'none',
  'expected_average_only_in',
  'layer_norm',
  'constant_norm_rescale',
];

/** The entries every architecture has, beside architecture, dtype, device and metadata. */
const COMMON: readonly Field[] = [
  { json: 'd_in', name: 'dIn', type: 'dimension' },
  { json: 'd_sae', name: 'dSae', type: 'dimension' },
  { json: 'apply_b_dec_to_input', name: 'applyBDecToInput', type: 'boolean', fallback: true },
  {
    json: 'reshape_activations',
    name: 'reshapeActivations',
    type: ['none', 'hook_z'],
    fallback: 'none',
  },
];

/** Features are counted in 32 bits. */
const LARGEST_DIMENSION = 2 ** 31 - 1;

/** The names cfg.json may use for an architecture's configuration; every other one is dropped when it is migrated. */
export function configKeys(architecture: string): Set<string> {
  const own = architectureOf(architecture).fields;
  return new Set([
    ...[...COMMON, ...own].map(({ json }) => json),
    'dtype',
    'device',
    'normalize_activations',
  ]);
}

/**
 * The configuration in a v6 dictionary (see `migrateConfig`). Throws ERR_FORMAT, naming the entry,
 * for what is missing or has the wrong type or range, ERR_UNSUPPORTED for an unknown architecture.
 */
export function parseConfig(cfgDict: Json, raw: Json = cfgDict): SAEConfig {
  const architecture = field(cfgDict, 'architecture');
  if (typeof architecture !== 'string') throw wrong('architecture', 'a string', architecture);
  const { fields, isTranscoder, normalizations = [] } = architectureOf(architecture);
  const values = Object.fromEntries(
    [...COMMON, ...fields].map((entry) => [entry.name, readField(cfgDict, entry)]),
  );
  const cfg = {
    architecture,
    ...values,
    dtype: readDType(field(cfgDict, 'dtype') ?? 'float32'),
    device: (field(cfgDict, 'device') ?? 'cpu') as Device,
    normalizeActivations: field(cfgDict, 'normalize_activations') ?? 'none',
    metadata: parseMetadata(field(cfgDict, 'metadata') ?? {}),
    raw,
  } as SAEConfig;
  const known = [...NORMALIZATIONS, ...normalizations];
  if (!known.includes(cfg.normalizeActivations)) {
    throw wrong('normalize_activations', `one of ${known.join(', ')}`, cfg.normalizeActivations);
  }
  if (isTranscoder && cfg.applyBDecToInput) {
    throw new MonosemError(
      'ERR_FORMAT',
      `cfg.json: apply_b_dec_to_input must be false for ${architecture}: b_dec has the width of the output`,
    );
  }
  const { hookName } = cfg.metadata;
  if (cfg.reshapeActivations === 'hook_z' && hookName !== undefined && !hookName.endsWith('_z')) {
    throw new MonosemError(
      'ERR_FORMAT',
      `cfg.json: reshape_activations "hook_z" is for attention outputs, whose hook names end in _z, not for '${hookName}'`,
    );
  }
  if (cfg.k !== undefined && cfg.k > cfg.dSae) {
    throw new MonosemError(
      'ERR_FORMAT',
      `cfg.json: k is ${cfg.k}, more than the ${cfg.dSae} features`,
    );
  }
  return cfg;
}

/** The cfg.json SAELens 6 reads back; `metadata` under the names files use. */
export function writeConfig(cfg: SAEConfig, metadata: Json): Record<string, unknown> {
  const { fields } = architectureOf(cfg.architecture);
  return {
    ...Object.fromEntries([...COMMON, ...fields].map(({ json, name }) => [json, cfg[name]])),
    dtype: cfg.dtype,
    device: cfg.device,
    normalize_activations: cfg.normalizeActivations,
    metadata,
    architecture: cfg.architecture,
  };
}

/** cfg.json's text as an object. Throws ERR_FORMAT for anything else, and for NaN and Infinity, which JSON lacks. */
export function parseJsonObject(text: string, where: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MonosemError('ERR_FORMAT', `${where} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (!isObject(value)) {
    throw new MonosemError('ERR_FORMAT', `${where} must hold a JSON object, got ${show(value)}`);
  }
  return value;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An entry of its own: what a prototype offers is no configuration. */
export function field(json: Json, key: string): unknown {
  return Object.hasOwn(json, key) ? json[key] : undefined;
}

/** Throws ERR_UNSUPPORTED, naming the nearest, for an architecture that is not in the table. */
export function architectureOf(name: string): Architecture {
  const found = architectures.get(name);
  if (found !== undefined) return found;
  const near = nearest(name, architectures.keys(), 3);
  throw new MonosemError(
    'ERR_UNSUPPORTED',
    `unknown SAE architecture '${name}'; ${near.length > 0 ? `nearest: ${near.join(', ')}; ` : ''}` +
      `supported: ${[...architectures.keys()].join(', ')}`,
  );
}

function readField(cfgDict: Json, entry: Field): unknown {
  const { json, type, fallback } = entry;
  const value = field(cfgDict, json);
  if (value === undefined) {
    if (fallback !== undefined) return fallback;
    throw new MonosemError('ERR_FORMAT', `cfg.json lacks ${json}, expected ${describe(type)}`);
  }
  const fits =
    (typeof type === 'object' && type.includes(value as string)) ||
    (type === 'boolean' && typeof value === 'boolean') ||
    (type === 'number' && Number.isFinite(value)) ||
    (type === 'dimension or null' && (value === null || isDimension(value))) ||
    (type === 'dimension' && isDimension(value));
  if (!fits) throw wrong(json, describe(type), value);
  return value;
}

function isDimension(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) > 0 && (value as number) <= LARGEST_DIMENSION;
}

function describe(type: Field['type']): string {
  if (typeof type === 'object') return `one of ${type.join(', ')}`;
  if (type.startsWith('dimension')) {
    return `an integer between 1 and ${LARGEST_DIMENSION}${type === 'dimension' ? '' : ', or null'}`;
  }
  return `a ${type}`;
}

function readDType(value: unknown): DType {
  const name = typeof value === 'string' ? value.replace(/^torch\./, '') : '';
  if (!DTYPES.includes(name)) throw wrong('dtype', `one of ${DTYPES.join(', ')}`, value);
  if (name === 'float64') {
    throw new MonosemError(
      'ERR_UNSUPPORTED',
      'cfg.json asks for dtype float64, which this package does not compute in; pass dtype: "float32"',
    );
  }
  return name as DType;
}

/** Names of which null means missing: their types here have no null. */
const NEVER_NULL: readonly string[] = [
  'modelName',
  'hookName',
  'hookNameOut',
  'hfHookName',
  'hfHookNameOut',
  'contextSize',
  'prependBos',
  'datasetPath',
  'modelFromPretrainedKwargs',
];
/** What attaching relies on. */
const NAMES: readonly string[] = NEVER_NULL.slice(0, 5);

function parseMetadata(metadata: unknown): SAEMetadata {
  if (!isObject(metadata)) throw wrong('metadata', 'an object', metadata);
  const entries = Object.entries(metadata)
    .map(([key, value]) => [camelCase(key), value] as const)
    .filter(([name, value]) => value !== null || !NEVER_NULL.includes(name));
  for (const [name, value] of entries) {
    if (NAMES.includes(name) && typeof value !== 'string') {
      throw wrong(`metadata.${name}`, 'a string', value);
    }
  }
  return Object.fromEntries(entries);
}

function camelCase(name: string): string {
  return name.replace(/(?<=[a-z0-9])_([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase());
}

function wrong(key: string, expected: string, value: unknown): MonosemError {
  return new MonosemError('ERR_FORMAT', `cfg.json: ${key} must be ${expected}, got ${show(value)}`);
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
}
