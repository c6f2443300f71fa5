import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resolveDevice } from '../device.js';
import { MonosemError } from '../error.js';
import { native } from '../native.js';
import { Tensor } from '../tensor.js';
import { architectureOf, parseConfig, parseJsonObject } from './config.js';
import { migrateConfig } from './migrate.js';
import type { LoadedSae, SaeOptions } from './sae.js';
import { checkWeights } from './weights.js';

/** The SAELens layout on disk. What cfg.json promises is checked before a weight is read. */
export async function readSaeFolder(path: string, options: SaeOptions): Promise<LoadedSae> {
  const cfgPath = join(path, 'cfg.json');
  const raw = parseJsonObject(await readText(cfgPath), cfgPath);
  const cfgDict = migrateConfig(raw);
  const { dtype: asked, device: where } = options;
  const cfg = parseConfig(asked === undefined ? cfgDict : { ...cfgDict, dtype: asked });
  const file = native.openTensorFile(join(path, 'sae_weights.safetensors'), 'safetensors');
  const headers = new Map(file.tensors.map((header) => [header.name, header]));
  const expected = architectureOf(cfg.architecture).parameters(cfg);
  checkWeights(cfg.architecture, expected, headers);
  const device = resolveDevice(where);
  const weights: [string, Tensor][] = [];
  for (const name of Object.keys(expected)) {
    const handle = await native.loadTensor(file, name, cfg.dtype, device, false);
    weights.push([name, new Tensor(handle)]);
  }
  return { cfgDict, weights: Object.fromEntries(weights), raw };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new MonosemError(
      'ERR_NOT_FOUND',
      `cannot read '${path}' (${(cause as NodeJS.ErrnoException).code}); expected a folder with cfg.json and sae_weights.safetensors`,
      { cause },
    );
  }
}
