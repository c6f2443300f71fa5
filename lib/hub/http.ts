import { setTimeout as sleep } from 'node:timers/promises';
import { MonosemError } from '../error.js';
import { aborted, Unreachable } from './errors.js';

export interface HubRequest {
  readonly url: string;
  readonly method: 'GET' | 'HEAD';
  /** Sent to the origin of `url`, and no longer once a redirect has left it. */
  readonly token: string | undefined;
  /** First and last byte, or from a first byte on. */
  readonly range?: readonly [first: number, last?: number];
  readonly signal: AbortSignal | undefined;
  /** How often to ask again after a failure that may pass. */
  readonly retries?: number;
}

/** Silence that counts as a dead connection. */
const IDLE_MS = 30_000;
/** A server that asks for more patience than this is refused rather than waited for. */
const LONGEST_WAIT_S = 120;
const REDIRECTS = 8;

const mayPass = (status: number) => status === 408 || status === 429 || status >= 500;
const isRedirect = (status: number) => status >= 301 && status <= 308 && status !== 304;

/** Seconds a busy server asks for: Retry-After in seconds or as a date, or the hub's RateLimit reset. */
function askedWait(headers: Headers): number | undefined {
  const after = headers.get('retry-after');
  if (after !== null) {
    const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
    if (Number.isFinite(seconds)) return Math.max(0, seconds);
  }
  const reset = /[;,]\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '');
  return reset ? Number(reset[1]) : undefined;
}

/** 0.5 s, 1 s, 2 s … 8 s, each by a random half to one and a half so that clients spread out. */
export const backoff = (attempt: number) => Math.min(8, 0.5 * 2 ** attempt) * (0.5 + Math.random());

/** Waits, unless aborted. */
export async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    // A signal of its own: Node warns of eleven listeners on the caller's.
    await sleep(seconds * 1000, undefined, signal ? { signal: AbortSignal.any([signal]) } : {});
  } catch {
    if (signal?.aborted) throw aborted(signal);
  }
}

/** One request, no redirects followed, bounded in the time to its first byte. */
async function ask(url: URL, request: HubRequest, token: string | undefined): Promise<Response> {
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new Error(`no answer for ${IDLE_MS / 1000} s`)),
    IDLE_MS,
  );
  const { range, signal } = request;
  const headers: Record<string, string> = {
    'accept-encoding': 'identity',
    'user-agent': 'monosem',
  };
  if (token) headers.authorization = `Bearer ${token}`;
  if (range) headers.range = `bytes=${range[0]}-${range[1] ?? ''}`;
  try {
    return await fetch(url, {
      method: request.method,
      headers,
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
    });
  } finally {
    clearTimeout(timer);
  }
}

function redirectTarget(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const allowed = from.protocol === 'https:' ? ['https:'] : ['https:', 'http:'];
  if (!to || !allowed.includes(to.protocol)) {
    throw new MonosemError(
      'ERR_NETWORK',
      `${from.origin} redirects to "${location}", which is not an ${allowed.join(' or ')} URL.`,
    );
  }
  return to;
}

/**
 * One request along its redirects. A HEAD stops at the answer that describes the file, which for
 * large files is the redirect to their store. A redirect without a description (a mirror's to the hub)
 * is followed.
 */
async function follow(request: HubRequest): Promise<Response> {
  const home = new URL(request.url);
  let url = home;
  let atHome = true;
  for (let hops = 0; hops <= REDIRECTS; hops++) {
    atHome &&= url.origin === home.origin;
    const response = await ask(url, request, atHome ? request.token : undefined);
    const location = response.headers.get('location');
    if (!isRedirect(response.status) || location === null) return response;
    const next = redirectTarget(url, location);
    const describes =
      response.headers.has('x-linked-etag') ||
      (response.headers.has('x-repo-commit') && next.origin !== url.origin);
    if (request.method === 'HEAD' && describes) return response;
    await response.body?.cancel();
    url = next;
  }
  throw new MonosemError('ERR_NETWORK', `${request.url} redirects more than ${REDIRECTS} times.`);
}

/**
 * Sends a request and returns the answer, whatever its status. Connections that fail and answers that
 * may pass (408, 429, 5xx) are tried again, as late as the server asks. Throws ERR_NETWORK when
 * there is no answer and ERR_ABORTED.
 */
export async function send(request: HubRequest): Promise<Response> {
  const { url, signal, retries = 4 } = request;
  for (let attempt = 0; ; attempt++) {
    if (signal?.aborted) throw aborted(signal);
    let wait = backoff(attempt);
    try {
      const response = await follow(request);
      if (!mayPass(response.status) || attempt >= retries) return response;
      wait = askedWait(response.headers) ?? wait;
      if (wait > LONGEST_WAIT_S) return response;
      await response.body?.cancel();
    } catch (error) {
      if (signal?.aborted) throw aborted(signal);
      if (error instanceof MonosemError) throw error;
      // A hub that cannot be reached at all is rarely there a moment later.
      if (attempt >= Math.min(2, retries)) throw new Unreachable(url, error);
    }
    await pause(wait, signal);
  }
}

/** The chunks of a body. Throws Unreachable when the connection breaks or is silent for IDLE_MS. */
export async function* chunks(url: string, response: Response): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  let timer: NodeJS.Timeout | undefined;
  const next = () => {
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`silent for ${IDLE_MS / 1000} s`)), IDLE_MS);
    });
    return Promise.race([reader.read(), silence])
      .catch((error) => {
        throw new Unreachable(url, error);
      })
      .finally(() => clearTimeout(timer));
  };
  try {
    for (let part = await next(); !part.done; part = await next()) yield part.value;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
