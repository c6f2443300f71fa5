import { readFile, stat } from 'node:fs/promises';
import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import type { DType } from '../native.js';
import { field, type Json, parseJsonObject } from '../sae/config.js';
import { Tensor } from '../tensor.js';
import type { SaeFiles } from './files.js';
import type { WeightsFile, WeightsKind } from './weights_file.js';
import { parseYaml } from './yaml.js';

/** One SAE to load: where it is, and what is laid over its configuration. */
export interface LoaderInput {
  readonly repoId: string;
  /** In the repository: the SAE's folder, or its file where the format has one file per SAE. */
  readonly folder: string;
  readonly files: SaeFiles;
  /** Flat entries that win over the file's: the registry's, and the caller's. */
  readonly overrides: Json;
  /** Opens a weights file; each is opened once, however often it is asked for. */
  readonly open: (path: string, kind: WeightsKind) => Promise<WeightsFile>;
}

/** A published format: what its files say of the SAE, and where its parameters are. */
export interface Loader {
  /**
   * The configuration as SAELens' loader of this name makes it, flat and before its migration to version
   * 6, the overrides laid over it.
   */
  config(input: LoaderInput): Promise<Record<string, unknown>>;
  /** Parameters by SAELens' names. Nothing is read before one is loaded. May complete `cfg`. */
  weights(input: LoaderInput, cfg: Record<string, unknown>): Promise<Record<string, WeightSource>>;
  /** log10 of each feature's firing frequency, where the format has it. */
  logSparsity?(input: LoaderInput): Promise<WeightSource | undefined>;
  /** The configuration file as it is, where it is SAELens' own; `cfg.raw` is otherwise what `config` made. */
  raw?(input: LoaderInput): Promise<Json>;
  /** What a user of this format should know. */
  readonly caution?: string;
}

/** A parameter that is not loaded yet. */
export interface WeightSource {
  readonly shape: readonly number[];
  /** The file's, "float64" and "int64" among others. */
  readonly dtype: string;
  load(dtype: DType, device: Device): Promise<Tensor>;
  /** One row of a matrix, where its layout has it in one piece. */
  row?(index: number): Promise<Float32Array>;
}

/** A tensor of a file, a matrix transposed if asked. Throws ERR_FORMAT if the file has none of that name. */
export function stored(
  file: WeightsFile,
  name: string,
  options: { transposed?: boolean } = {},
): WeightSource {
  const transposed = options.transposed ?? false;
  const tensor = file.tensors.get(name);
  if (tensor === undefined) {
    throw new MonosemError(
      'ERR_FORMAT',
      `${file.path} holds no tensor ${name}; it holds ${[...file.tensors.keys()].slice(0, 12).join(', ') || 'none'}`,
    );
  }
  const { shape, dtype } = tensor;
  if (transposed && shape.length !== 2) {
    throw new MonosemError(
      'ERR_FORMAT',
      `${file.path}: ${name} must be a matrix, has shape [${shape}]`,
    );
  }
  return {
    shape: transposed ? shape.toReversed() : shape,
    dtype,
    load: (as, device) => file.load(name, as, device, transposed),
    ...(transposed ? {} : { row: (index) => file.row(name, index) }),
  };
}

/**
 * Every tensor of a file under the name that `rename` gives it; undefined leaves it out. Throws ERR_FORMAT
 * if two come to the same name.
 */
export function storedAs(
  file: WeightsFile,
  rename: (name: string) => string | undefined,
  isTransposed: (parameter: string) => boolean = () => false,
): Record<string, WeightSource> {
  const sources = new Map<string, WeightSource>();
  for (const name of file.tensors.keys()) {
    const parameter = rename(name);
    if (parameter === undefined) continue;
    if (sources.has(parameter)) {
      throw new MonosemError('ERR_FORMAT', `${file.path} holds ${parameter} under two spellings`);
    }
    sources.set(parameter, stored(file, name, { transposed: isTransposed(parameter) }));
  }
  return Object.fromEntries(sources);
}

/** A vector of one value. */
export function filled(value: number, length: number): WeightSource {
  return {
    shape: [length],
    dtype: 'float32',
    load: async (dtype, device) => Tensor.ones([length], { dtype, device }).fill(value),
  };
}

/** A source with arithmetic on top, of the shape given where it changes. `map` leaves its argument alone. */
export function mapped(
  source: WeightSource,
  map: (tensor: Tensor) => Tensor | Promise<Tensor>,
  shape = source.shape,
): WeightSource {
  const apply = async (tensor: Tensor) => {
    try {
      return await map(tensor);
    } finally {
      tensor.dispose();
    }
  };
  const { row } = source;
  return {
    shape,
    dtype: source.dtype,
    load: async (dtype, device) => apply(await source.load(dtype, device)),
    ...(row && {
      row: async (index) => {
        const bare = Tensor.from(await row(index), [1, ...source.shape.slice(1)], {
          device: 'cpu',
        });
        const result = await apply(bare);
        const values = (await result.data()) as Float32Array;
        result.dispose();
        return values;
      },
    }),
  };
}

/** The first of some spellings that the file has. */
export function firstOf(file: WeightsFile, names: readonly string[]): string | undefined {
  return names.find((name) => file.tensors.has(name));
}

/** One entry of a nested object by its path; undefined where any step is missing. */
export function nested(json: Json, ...path: readonly string[]): unknown {
  let value: unknown = json;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = field(value as Json, key);
  }
  return value;
}

/** An entry that must be a number. Throws ERR_FORMAT naming it. */
export function numberAt(json: Json, where: string, ...path: readonly string[]): number {
  const value = nested(json, ...path);
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw wrongEntry(where, path, 'a number', value);
}

/** An entry that must be a string. */
export function stringAt(json: Json, where: string, ...path: readonly string[]): string {
  const value = nested(json, ...path);
  if (typeof value === 'string') return value;
  throw wrongEntry(where, path, 'a string', value);
}

function wrongEntry(where: string, path: readonly string[], expected: string, value: unknown) {
  const got = value === undefined ? 'nothing' : (JSON.stringify(value) ?? String(value));
  return new MonosemError(
    'ERR_FORMAT',
    `${where}: ${path.join('.')} must be ${expected}, got ${got.slice(0, 80)}`,
  );
}

/** Bytes: far more than a configuration needs. */
const LARGEST_TEXT = 16 * 2 ** 20;

async function readText(path: string, local: string): Promise<string> {
  const { size } = await stat(local);
  if (size > LARGEST_TEXT) {
    throw new MonosemError('ERR_FORMAT', `${path} has ${size} bytes, too many for a configuration`);
  }
  try {
    return await readFile(local, 'utf8');
  } catch (cause) {
    throw new MonosemError('ERR_FORMAT', `${path} cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
}

export async function readJsonFile(input: LoaderInput, path: string): Promise<Json> {
  return parseJsonObject(await readText(path, await input.files.file(path)), path);
}

/** undefined if there is no such file. */
export async function tryReadJsonFile(input: LoaderInput, path: string): Promise<Json | undefined> {
  const local = await input.files.tryFile(path);
  return local === undefined ? undefined : parseJsonObject(await readText(path, local), path);
}

export async function readYamlFile(input: LoaderInput, path: string): Promise<Json> {
  return parseYaml(await readText(path, await input.files.file(path)), path);
}

/** undefined if there is no such file. */
export async function tryReadYamlFile(input: LoaderInput, path: string): Promise<Json | undefined> {
  const local = await input.files.tryFile(path);
  return local === undefined ? undefined : parseYaml(await readText(path, local), path);
}

/** `pattern`'s first group in `text`, as a number. Throws ERR_FORMAT saying what is missing from the name. */
export function numberIn(text: string, pattern: RegExp, what: string): number {
  const found = pattern.exec(text)?.[1];
  if (found !== undefined) return Number(found);
  throw new MonosemError('ERR_FORMAT', `there is no ${what} in ${JSON.stringify(text)}`);
}

/** A file of the SAE's folder. */
export function within(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}
