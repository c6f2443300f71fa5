import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { MonosemError } from '../error.js';
import type { HubOptions } from '../hub/options.js';
import { Snapshot } from '../hub/snapshot.js';
import { JsonReader } from './json_reader.js';
import { repositoryOf } from './names.js';
import { WEIGHTS, WEIGHTS_INDEX, weightShards } from './weight_files.js';

/** Where a model's files are on disk, and what it is called. */
export interface ModelFolder {
  readonly path: string;
  readonly modelName: string;
}

/**
 * A model by folder, Hugging Face id, or short name of TransformerLens. A folder is used as it is; of a
 * repository the files that loading reads are brought into the hub's cache.
 * @throws ERR_NOT_FOUND, and what the hub throws (ERR_GATED, ERR_OFFLINE, ERR_NETWORK, ...)
 */
export async function modelFolder(name: string, options: HubOptions): Promise<ModelFolder> {
  if (typeof name !== 'string' || name === '') {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `expected a model's name or folder, got ${JSON.stringify(name)}`,
    );
  }
  if (existsSync(name) && statSync(name).isDirectory()) {
    return { path: name, modelName: basename(resolve(name)) };
  }
  if (/^([./~]|[A-Za-z]:\\)/.test(name)) {
    throw new MonosemError('ERR_NOT_FOUND', `there is no model folder ${resolve(name)}`);
  }
  const repository = repositoryOf(name);
  if (!/^[\w.-]+\/[\w.-]+$/.test(repository)) {
    throw new MonosemError(
      'ERR_NOT_FOUND',
      `'${name}' is no folder here, no Hugging Face id (owner/name) and no short name that is known (such as gpt2-small or gemma-2-2b)`,
    );
  }
  return { path: await download(new Snapshot(repository, options)), modelName: name };
}

const EXTRAS = [
  'tokenizer.json',
  'tokenizer_config.json',
  'chat_template.jinja',
  'generation_config.json',
];

async function download(snapshot: Snapshot): Promise<string> {
  const config = await snapshot.file('config.json');
  for (const extra of EXTRAS) await snapshot.tryFile(extra);
  const index = await snapshot.tryFile(WEIGHTS_INDEX);
  if (index === undefined) {
    await snapshot.file(WEIGHTS);
    return dirname(config);
  }
  for (const shard of weightShards(await JsonReader.file(index))) await snapshot.file(shard);
  return dirname(config);
}

/** The folder's config.json. */
export function readConfig({ path }: ModelFolder): Promise<JsonReader> {
  return JsonReader.file(join(path, 'config.json'));
}

/** An optional file of the folder. */
export async function readOptional(
  { path }: ModelFolder,
  file: string,
): Promise<JsonReader | undefined> {
  const full = join(path, file);
  return existsSync(full) ? JsonReader.file(full) : undefined;
}
