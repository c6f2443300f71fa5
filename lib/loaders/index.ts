import { statSync } from 'node:fs';
import { basename, dirname, resolve as resolvePath } from 'node:path';
import { type Device, resolveDevice } from '../device.js';
import { MonosemError } from '../error.js';
import type { LoadOptions } from '../hub/options.js';
import { Snapshot } from '../hub/snapshot.js';
import type { LoaderName } from '../registry/data.js';
import type { Release } from '../registry/releases.js';
import { type ResolvedSae, resolve } from '../registry/resolve.js';
import type { Json } from '../sae/config.js';
import type { Tensor } from '../tensor.js';
import { FolderFiles } from './files.js';
import { type DescribedSae, describe, loadWeights, type SaeLocation } from './load.js';
import type { Loader } from './loader.js';
import { loaders } from './table.js';

/** What loading an SAE's files takes. */
export interface SaeFileOptions extends LoadOptions {
  /** How the files are read: for repositories that the registry does not know, and folders. */
  loader?: LoaderName;
  /** Flat entries laid over the SAE's configuration. */
  cfgOverrides?: Readonly<Record<string, unknown>>;
}

/** An SAE's files, read. */
export interface LoadedSae {
  /** In SAELens 6's form. */
  readonly cfgDict: Record<string, unknown>;
  /** The configuration as its file has it, or as the loader made it. */
  readonly raw: Json;
  /** Parameters by SAELens' names, of the configuration's dtype, on the device asked for. */
  readonly weights: Record<string, Tensor>;
  /** [d_sae], log10 of how often each feature fires, where it was published. */
  readonly logSparsity: Tensor | undefined;
  /** Of SAEs that expect normalised activations: what is to be folded into the weights. */
  readonly normScalingFactor: number | undefined;
  /** What the caller may want to know: better names, and what could not be done. */
  readonly warnings: readonly string[];
}

/**
 * The files of a published SAE: a release and an id of the registry, or a Hugging Face repository id and a
 * folder in it. Weights are float32 unless `dtype` says otherwise. Throws ERR_NOT_FOUND, ERR_GATED,
 * ERR_OFFLINE, ERR_NETWORK, ERR_INTEGRITY, ERR_FORMAT, ERR_DTYPE, ERR_UNSAFE_PICKLE, ERR_UNSUPPORTED,
 * ERR_ABORTED.
 */
export async function loadPretrained(
  release: Release,
  saeId: string,
  options: SaeFileOptions = {},
): Promise<LoadedSae> {
  const resolved = resolve(release, saeId);
  const loader = loaderOf(options.loader ?? resolved.loader);
  const device = resolveDevice(options.device) as Device;
  const location = hubLocation(resolved, options, device);
  const loaded = await load(loader, location, device, options.signal);
  const isScaled = loaded.cfgDict.normalize_activations === 'expected_average_only_in';
  const normScalingFactor = isScaled ? resolved.normScalingFactor : undefined;
  const advice =
    isScaled && normScalingFactor === undefined
      ? [
          `${release} ${saeId} expects activations scaled to a norm of sqrt(d_in) on average, and the registry has no norm_scaling_factor for it: scale them, or call foldActivationNormScalingFactor.`,
        ]
      : [];
  return {
    ...loaded,
    normScalingFactor,
    warnings: [...resolved.notes, ...loaded.warnings, ...advice],
  };
}

/**
 * The files of an SAE in a folder (or of its one file, where the format has one), in SAELens' form unless
 * `loader` says otherwise. Weights have the configuration's dtype unless `dtype` says otherwise; nothing
 * is folded.
 */
export async function loadFromFolder(
  path: string,
  options: Pick<SaeFileOptions, 'device' | 'dtype' | 'loader' | 'cfgOverrides'> = {},
): Promise<LoadedSae> {
  if (typeof path !== 'string') {
    throw new MonosemError('ERR_INVALID_ARGUMENT', `expected a folder's path, got ${typeof path}`);
  }
  const full = resolvePath(path);
  if (statSync(full, { throwIfNoEntry: false }) === undefined) {
    throw new MonosemError('ERR_NOT_FOUND', `there is no folder ${full}`);
  }
  const loader = loaderOf(options.loader ?? 'sae_lens');
  const device = resolveDevice(options.device) as Device;
  const location: SaeLocation = {
    repoId: basename(dirname(full)),
    folder: basename(full),
    files: new FolderFiles(dirname(full)),
    overrides: {
      ...options.cfgOverrides,
      device,
      ...(options.dtype === undefined ? {} : { dtype: options.dtype }),
    },
  };
  return load(loader, location, device);
}

/**
 * One row of a published SAE's decoder, [d_in], as `(await SAE.fromPretrained(...)).W_dec` would have it
 * in float32. Only the bytes of the row are fetched, where the file has them in one piece; pickles,
 * compressed archives and transposed decoders are downloaded.
 */
export async function fetchDecoderRow(
  release: Release,
  saeId: string,
  feature: number,
  options: SaeFileOptions & { foldWDecNorm?: boolean } = {},
): Promise<Float32Array> {
  const resolved = resolve(release, saeId);
  const location = hubLocation(resolved, { ...options, dtype: 'float32' }, 'cpu');
  const loader = loaderOf(options.loader ?? resolved.loader);
  const { row, isScaled } = await describe(loader, location, true, async ({ cfg, sources }) => {
    if (!Number.isInteger(feature) || feature < 0 || feature >= cfg.dSae) {
      throw new MonosemError(
        'ERR_INVALID_ARGUMENT',
        `${release} ${saeId} has features 0 to ${cfg.dSae - 1}, got ${feature}`,
      );
    }
    const scaled = cfg.normalizeActivations === 'expected_average_only_in';
    return { row: await decoderRow(sources, feature), isScaled: scaled };
  });
  const factor = Math.fround(isScaled ? (resolved.normScalingFactor ?? 1) : 1);
  const folded = row.map((value) => value / factor);
  if (!options.foldWDecNorm) return folded;
  const norm = Math.max(Math.hypot(...folded), 1e-8);
  return folded.map((value) => value / norm);
}

async function decoderRow(
  sources: DescribedSae['sources'],
  feature: number,
): Promise<Float32Array> {
  const { W_dec } = sources;
  if (W_dec === undefined) {
    throw new MonosemError('ERR_UNSUPPORTED', 'this architecture has no decoder matrix');
  }
  if (W_dec.row !== undefined) return W_dec.row(feature);
  const whole = await W_dec.load('float32', 'cpu');
  const row = whole.at(feature);
  try {
    return (await row.data()) as Float32Array;
  } finally {
    row.dispose();
    whole.dispose();
  }
}

function loaderOf(name: LoaderName): Loader {
  if (Object.hasOwn(loaders, name)) return loaders[name];
  throw new MonosemError(
    'ERR_INVALID_ARGUMENT',
    `no loader is called ${JSON.stringify(name)}; there are ${Object.keys(loaders).join(', ')}`,
  );
}

function hubLocation(resolved: ResolvedSae, options: SaeFileOptions, device: Device): SaeLocation {
  const { repoId, path, configOverrides, model, neuronpediaId } = resolved;
  const isRegistered = model !== undefined;
  const overrides = {
    ...configOverrides,
    ...(isRegistered && { neuronpedia_id: neuronpediaId ?? null }),
    ...options.cfgOverrides,
    dtype: options.dtype ?? 'float32',
    device,
  };
  return { repoId, folder: path, files: new Snapshot(repoId, options), overrides };
}

function load(
  loader: Loader,
  location: SaeLocation,
  device: Device,
  signal?: AbortSignal,
): Promise<LoadedSae> {
  return describe(loader, location, false, async (described) => ({
    cfgDict: described.cfgDict,
    raw: described.raw,
    logSparsity: await described.logSparsity?.load('float32', device),
    weights: await loadWeights(described, device, signal),
    normScalingFactor: undefined,
    warnings: loader.caution === undefined ? [] : [loader.caution],
  }));
}
