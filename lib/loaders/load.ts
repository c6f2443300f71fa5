import type { Device } from '../device.js';
import { MonosemError } from '../error.js';
import { architectureOf, type Json, parseConfig, type SAEConfig } from '../sae/config.js';
import { migrateConfig } from '../sae/migrate.js';
import { checkWeights } from '../sae/weights.js';
import type { Tensor } from '../tensor.js';
import type { SaeFiles } from './files.js';
import type { Loader, LoaderInput, WeightSource } from './loader.js';
import {
  LocalWeightsFile,
  RemoteWeightsFile,
  type WeightsFile,
  type WeightsKind,
} from './weights_file.js';

export interface SaeLocation {
  readonly repoId: string;
  readonly folder: string;
  readonly files: SaeFiles;
  readonly overrides: Json;
}

/** An SAE whose files were looked at: everything but the numbers. */
export interface DescribedSae {
  /** As the file has it, or the loader made it. */
  readonly raw: Json;
  /** In SAELens 6's form. */
  readonly cfgDict: Record<string, unknown>;
  readonly cfg: SAEConfig;
  readonly sources: Readonly<Record<string, WeightSource>>;
  readonly logSparsity: WeightSource | undefined;
}

/** The configuration alone, without fetching weights: in SAELens 6's form. */
export async function readConfig(
  loader: Loader,
  location: SaeLocation,
): Promise<Record<string, unknown>> {
  const files = new OpenFiles(location.files, true);
  try {
    return migrateConfig(await loader.config({ ...location, open: files.open }));
  } finally {
    await files.close();
  }
}

/**
 * Reads configuration and directory of an SAE and checks that the parameters are exactly those of its
 * architecture, name by name and shape by shape, before any of them is read; then `use` may read them, after
 * which the files are closed. `remote`: by ranges, where the file's form allows it. Throws ERR_FORMAT,
 * ERR_SHAPE or ERR_DTYPE for what does not fit, and what readers and hub throw.
 */
export async function describe<R>(
  loader: Loader,
  location: SaeLocation,
  remote: boolean,
  use: (described: DescribedSae) => Promise<R>,
): Promise<R> {
  const files = new OpenFiles(location.files, remote);
  const input: LoaderInput = { ...location, open: files.open };
  try {
    const flat = await loader.config(input);
    const sources = await loader.weights(input, flat);
    const raw = (await loader.raw?.(input)) ?? flat;
    const cfgDict = migrateConfig(flat);
    const cfg = parseConfig(cfgDict, raw);
    // As torch's strict load_state_dict: nothing missing, nothing unexpected, every shape as configured.
    const expected = architectureOf(cfg.architecture).parameters(cfg);
    checkWeights(cfg.architecture, expected, new Map(Object.entries(sources)));
    const logSparsity = remote ? undefined : await loader.logSparsity?.(input);
    return await use({ raw, cfgDict, cfg, sources, logSparsity });
  } finally {
    await files.close();
  }
}

/** Loads every parameter, one after the other, so that what each needs on the way is freed before the next. */
export async function loadWeights(
  { cfg, sources }: DescribedSae,
  device: Device,
  signal?: AbortSignal,
): Promise<Record<string, Tensor>> {
  const weights: Record<string, Tensor> = {};
  try {
    for (const [name, source] of Object.entries(sources)) {
      if (signal?.aborted) throw new MonosemError('ERR_ABORTED', 'loading was aborted');
      weights[name] = await source.load(cfg.dtype, device);
    }
  } catch (error) {
    for (const tensor of Object.values(weights)) tensor.dispose();
    throw error;
  }
  return weights;
}

/** The weights files of one SAE. */
class OpenFiles {
  readonly #files: SaeFiles;
  readonly #remote: boolean;
  readonly #opened = new Map<string, Promise<WeightsFile>>();

  constructor(files: SaeFiles, remote: boolean) {
    this.#files = files;
    this.#remote = remote;
  }

  readonly open = (path: string, kind: WeightsKind): Promise<WeightsFile> => {
    const known = this.#opened.get(path);
    if (known !== undefined) return known;
    const file = this.#openFile(path, kind);
    this.#opened.set(path, file);
    return file;
  };

  async #openFile(path: string, kind: WeightsKind): Promise<WeightsFile> {
    const ranged = this.#remote && (await RemoteWeightsFile.open(this.#files, path, kind));
    return ranged || new LocalWeightsFile(path, await this.#files.file(path), kind);
  }

  async close(): Promise<void> {
    for (const file of await Promise.allSettled(this.#opened.values())) {
      if (file.status === 'fulfilled') file.value.dispose();
    }
  }
}
