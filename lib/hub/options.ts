import type { Device } from '../device.js';
import type { DType } from '../native.js';

/** Bytes of one file so far, and of the whole file. */
export interface Progress {
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}

/**
 * Where a Hugging Face repository is read from and kept. What is left out comes from the environment
 * that Python's huggingface_hub reads: see `lib/hub/environment.ts`.
 */
export interface HubOptions {
  /** A branch, a tag, or a full commit hash; "main" by default. A cached commit needs no network. */
  revision?: string;
  /** "" sends none, whatever the environment holds. */
  token?: string;
  cacheDir?: string;
  endpoint?: string;
  /** Use the cache alone. */
  offline?: boolean;
  /** Download again what the cache holds. */
  forceDownload?: boolean;
  onProgress?: (progress: Progress) => void;
  /** Aborting rejects with ERR_ABORTED; what was downloaded is kept and resumed by the next call. */
  signal?: AbortSignal;
}

/** What everything loaded from the hub takes: where from, and the device and dtype to load it as. */
export interface LoadOptions extends HubOptions {
  device?: Device;
  dtype?: DType;
}
