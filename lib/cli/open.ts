/** The model and the SAE a command works on: folders, published names, or the embedded demo. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Progress } from '../hub/options.js';
import { type Device, HookedSAETransformer, MonosemError, registry, SAE } from '../index.js';
import { UsageError } from './command.js';
import { progressBar } from './progress.js';

export const demo = fileURLToPath(new URL('../../assets/demo', import.meta.url));
export const demoSae = join(demo, 'saes', 'blocks.2.hook_resid_post');

/** The options every such command takes, for node:util's parseArgs. */
export const openOptions = {
  model: { type: 'string' },
  sae: { type: 'string' },
  device: { type: 'string' },
} as const;

export const openUsage = `  --model M   a Hugging Face folder or id; by default the one the SAE names, or the demo's
  --sae S     an SAE's folder, or RELEASE/SAE_ID of the registry; by default the demo's
  --device D  cpu, cuda, cuda:1, … (MONOSEM_DEVICE)`;

export interface Opened extends AsyncDisposable {
  readonly model: HookedSAETransformer;
  readonly sae: SAE;
  /** The activation the SAE reads, and the one it reconstructs (another one for a transcoder). */
  readonly hookName: string;
  readonly hookNameOut: string;
  readonly modelName: string;
  readonly saeName: string;
}

interface OpenValues {
  model?: string | undefined;
  sae?: string | undefined;
  device?: string | undefined;
}

/** Loads both, with a bar on stderr for what is downloaded. */
export async function open(values: OpenValues): Promise<Opened> {
  if (values.model !== undefined && values.sae === undefined) {
    throw new UsageError("--model needs --sae: the demo's SAE fits the demo's model alone");
  }
  const saeName = values.sae ?? demoSae;
  const sae = await openSae(saeName, values.device);
  try {
    const { metadata } = sae.cfg;
    if (metadata.hookName === undefined) {
      throw new MonosemError(
        'ERR_FORMAT',
        `the SAE in ${saeName} does not say which activation it reads (metadata.hook_name in cfg.json)`,
      );
    }
    const modelName =
      values.model ?? (values.sae === undefined ? join(demo, 'model') : metadata.modelName);
    if (modelName === undefined) {
      throw new UsageError(`the SAE in ${saeName} does not name its model; give one with --model`);
    }
    const model = await withBar((onProgress) =>
      HookedSAETransformer.fromPretrainedNoProcessing(modelName, {
        ...deviceOption(values.device),
        onProgress,
      }),
    );
    return {
      model,
      sae,
      hookName: metadata.hookName,
      hookNameOut: metadata.hookNameOut ?? metadata.hookName,
      modelName,
      saeName,
      async [Symbol.asyncDispose]() {
        sae.dispose();
        await model.dispose();
      },
    };
  } catch (error) {
    sae.dispose();
    throw error;
  }
}

/** An SAE from a folder, or from the registry as RELEASE/SAE_ID. */
export async function openSae(name: string, device?: string): Promise<SAE> {
  const slash = name.indexOf('/');
  const release = name.slice(0, Math.max(slash, 0));
  if (existsSync(name) || !registry.releases().some((known) => known.release === release)) {
    return SAE.loadFromDisk(name, deviceOption(device));
  }
  return withBar((onProgress) =>
    SAE.fromPretrained(release, name.slice(slash + 1), { ...deviceOption(device), onProgress }),
  );
}

function deviceOption(device: string | undefined): { device?: Device } {
  return device === undefined ? {} : { device: device as Device };
}

async function withBar<T>(body: (onProgress: (p: Progress) => void) => Promise<T>): Promise<T> {
  const bar = progressBar('downloading');
  try {
    return await body(({ loaded, total }) => bar(loaded, total));
  } finally {
    bar.end();
  }
}
