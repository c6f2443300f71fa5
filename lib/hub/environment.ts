import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { MonosemError } from '../error.js';
import type { HubOptions } from './options.js';

/** Hub options with nothing left open. */
export interface HubSettings {
  readonly endpoint: string;
  readonly cacheDir: string;
  readonly token: string | undefined;
  readonly revision: string;
  readonly offline: boolean;
  readonly forceDownload: boolean;
}

/** The first of these variables that is set and not empty. */
function variable(...names: string[]): string | undefined {
  return names.map((name) => process.env[name]).find((value) => value);
}

const isTrue = (value: string | undefined) => /^(1|true|yes|on)$/i.test(value ?? '');

const expandHome = (path: string) => path.replace(/^~(?=\/|$)/, homedir());

function hubHome(): string {
  const cache = variable('XDG_CACHE_HOME') ?? '~/.cache';
  return expandHome(variable('HF_HOME') ?? join(cache, 'huggingface'));
}

/** The token of the environment, or the one that `hf auth login` keeps in a file. */
function ambientToken(): string | undefined {
  if (isTrue(process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const fromVariable = variable('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN');
  if (fromVariable) return fromVariable;
  try {
    return readFileSync(expandHome(variable('HF_TOKEN_PATH') ?? join(hubHome(), 'token')), 'utf8');
  } catch {
    return undefined;
  }
}

/** A token as a header can carry it; the message must not repeat what may be a secret. */
function checkToken(token: string | undefined): string | undefined {
  const trimmed = token?.trim() || undefined;
  if (trimmed && !/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      'The Hugging Face token has blanks or characters outside ASCII in it. Set HF_TOKEN to the token alone (hf_…).',
    );
  }
  return trimmed;
}

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `The hub's endpoint must be an http or https URL, not "${endpoint}" (HF_ENDPOINT, or the endpoint option).`,
    );
  }
  return endpoint.replace(/\/+$/, '');
}

/**
 * Completes options by the environment, as Python's huggingface_hub does: HF_ENDPOINT; HF_TOKEN or the
 * token file; HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub; HF_HUB_OFFLINE.
 */
export function settle(options: HubOptions): HubSettings {
  return {
    endpoint: checkEndpoint(
      options.endpoint ?? variable('HF_ENDPOINT') ?? 'https://huggingface.co',
    ),
    cacheDir: resolve(
      expandHome(
        options.cacheDir ??
          variable('HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ??
          join(hubHome(), 'hub'),
      ),
    ),
    token: checkToken(options.token ?? ambientToken()),
    revision: options.revision ?? 'main',
    offline: options.offline ?? isTrue(variable('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE')),
    forceDownload: options.forceDownload ?? false,
  };
}
