import { existsSync, readdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MonosemError } from '../error.js';

/** Where a loader gets files from: a repository of the hub (`Snapshot`), or a folder. */
export interface SaeFiles {
  /** The local path of a file. Throws ERR_NOT_FOUND if there is none. */
  file(path: string): Promise<string>;
  /** The same, or undefined. */
  tryFile(path: string): Promise<string | undefined>;
  /** Bytes `start <= i < end`, fewer if the file ends before, without fetching all of it. */
  readRange(path: string, start: number, end: number): Promise<Uint8Array>;
  size(path: string): Promise<number>;
}

/** What there is where a file was looked for: mostly enough to see what went wrong. */
function neighbours(path: string): string {
  const folder = dirname(path);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    return `there is no folder ${folder} either`;
  }
  const names = readdirSync(folder).sort();
  if (names.length === 0) return 'its folder is empty';
  const more = names.length > 8 ? ', ...' : '';
  const model =
    names.includes('config.json') && basename(path) === 'cfg.json'
      ? ': a model, which HookedTransformer.fromPretrained loads, and not an SAE'
      : '';
  return `its folder has ${names.slice(0, 8).join(', ')}${more}${model}`;
}

/** The files below a local folder. */
export class FolderFiles implements SaeFiles {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async file(path: string): Promise<string> {
    const found = join(this.#root, path);
    if (existsSync(found)) return found;
    throw new MonosemError('ERR_NOT_FOUND', `there is no file ${found}; ${neighbours(found)}`);
  }

  async tryFile(path: string): Promise<string | undefined> {
    const found = join(this.#root, path);
    return existsSync(found) ? found : undefined;
  }

  async readRange(path: string, start: number, end: number): Promise<Uint8Array> {
    const file = await open(await this.file(path), 'r');
    try {
      const { size } = await file.stat();
      const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  async size(path: string): Promise<number> {
    const file = await open(await this.file(path), 'r');
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }
}
