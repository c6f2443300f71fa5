import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MonosemError } from '../error.js';
import { native } from '../native.js';
import { type Json, writeConfig } from './config.js';
import type { SaeEngine } from './engine.js';
import { versionedMetadata } from './migrate.js';

export interface SavedPaths {
  readonly weightsPath: string;
  readonly cfgPath: string;
}

/** Writes an SAE in SAELens 6's layout; `metadata` under the names files use. */
export async function saveSae(
  engine: SaeEngine,
  metadata: Json,
  path: string,
): Promise<SavedPaths> {
  const weightsPath = join(path, 'sae_weights.safetensors');
  const cfgPath = join(path, 'cfg.json');
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new MonosemError(
      'ERR_NOT_FOUND',
      `cannot make the folder '${path}' (${(cause as NodeJS.ErrnoException).code}); give one that can be written`,
      { cause },
    );
  }
  const entries = Object.entries(engine.weights);
  await native.writeSafetensors(
    weightsPath,
    entries.map(([name]) => name),
    entries.map(([, tensor]) => tensor.handle),
  );
  await writeFile(cfgPath, JSON.stringify(writeConfig(engine.cfg, versionedMetadata(metadata))));
  return { weightsPath, cfgPath };
}
