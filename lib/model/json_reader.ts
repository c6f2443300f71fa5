import { readFile } from 'node:fs/promises';
import { MonosemError } from '../error.js';

/** Reads the keys of one JSON object and says which file and key disappoint. null counts as absent. */
export class JsonReader {
  readonly #object: Readonly<Record<string, unknown>>;
  /** What messages call the object: its path, and the key inside it. */
  readonly where: string;

  constructor(value: unknown, where: string) {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw new MonosemError(
        'ERR_FORMAT',
        `${where}: expected a JSON object, got ${Array.isArray(value) ? 'an array' : value === null ? 'null' : typeof value}`,
      );
    }
    this.#object = value as Record<string, unknown>;
    this.where = where;
  }

  static async file(path: string): Promise<JsonReader> {
    return new JsonReader(await readJson(path), path);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#object, key) && this.#object[key] !== null;
  }

  /** Whether the key is there at all: an explicit null switches some defaults off. */
  mentions(key: string): boolean {
    return Object.hasOwn(this.#object, key);
  }

  keys(): readonly string[] {
    return Object.keys(this.#object);
  }

  raw(key: string): unknown {
    return this.has(key) ? this.#object[key] : undefined;
  }

  number(key: string, fallback?: number): number {
    return this.#read(
      key,
      'a number',
      fallback,
      (v) => typeof v === 'number' && Number.isFinite(v),
    );
  }

  /** A whole number from `least` to `most`. */
  integer(key: string, fallback?: number, least = 1, most = 2 ** 31 - 1): number {
    const isWhole = (v: unknown) =>
      Number.isSafeInteger(v) && (v as number) >= least && (v as number) <= most;
    return this.#read(key, `a whole number from ${least} to ${most}`, fallback, isWhole);
  }

  string(key: string, fallback?: string): string {
    return this.#read(key, 'a string', fallback, (v) => typeof v === 'string');
  }

  boolean(key: string, fallback?: boolean): boolean {
    return this.#read(key, 'true or false', fallback, (v) => typeof v === 'boolean');
  }

  strings(key: string): readonly string[] | undefined {
    const isStrings = (v: unknown) => Array.isArray(v) && v.every((s) => typeof s === 'string');
    return this.has(key) ? this.#read(key, 'an array of strings', undefined, isStrings) : undefined;
  }

  /** One token id, several, or none. */
  tokenIds(key: string): readonly number[] {
    const value = this.raw(key);
    const ids = value === undefined ? [] : Array.isArray(value) ? value : [value];
    if (!ids.every((id) => Number.isSafeInteger(id))) {
      throw this.wrong(key, 'a token id or an array of them', value);
    }
    return ids;
  }

  object(key: string): JsonReader | undefined {
    return this.has(key) ? new JsonReader(this.#object[key], `${this.where}, '${key}'`) : undefined;
  }

  #read<V>(
    key: string,
    expected: string,
    fallback: V | undefined,
    fits: (value: unknown) => boolean,
  ): V {
    const value = this.raw(key) ?? fallback;
    if (value === undefined) {
      throw new MonosemError(
        'ERR_FORMAT',
        `${this.where}: '${key}' is missing; expected ${expected}`,
      );
    }
    if (!fits(value)) throw this.wrong(key, expected, value);
    return value as V;
  }

  wrong(key: string, expected: string, value: unknown): MonosemError {
    return new MonosemError(
      'ERR_FORMAT',
      `${this.where}: expected '${key}' to be ${expected}, got ${JSON.stringify(value)?.slice(0, 80)}`,
    );
  }
}

/** ERR_NOT_FOUND without the file, ERR_FORMAT when it is not JSON. */
export async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MonosemError('ERR_NOT_FOUND', `cannot read ${path}: ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new MonosemError('ERR_FORMAT', `${path} is not JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}
