import { MonosemError } from '../error.js';
import { aborted, type HubTarget, refusal, Unreachable } from './errors.js';
import { chunks, send } from './http.js';

export interface RangeRequest {
  readonly url: string;
  readonly token: string | undefined;
  readonly start: number;
  readonly end: number;
  readonly signal: AbortSignal | undefined;
}

/** Attempts at one range; it is asked for anew, ranges being small. */
const ATTEMPTS = 3;

async function attempt(target: HubTarget, request: RangeRequest): Promise<Uint8Array> {
  const { url, token, start, end, signal } = request;
  const range = [start, end - 1] as const;
  const response = await send({ url, method: 'GET', token, range, signal });
  if (!response.ok) {
    await response.body?.cancel();
    throw refusal(response, target);
  }
  const served = response.headers.get('content-range') ?? '';
  if (response.status !== 206 || !served.startsWith(`bytes ${start}-${end - 1}/`)) {
    await response.body?.cancel();
    throw new MonosemError(
      'ERR_NETWORK',
      `${new URL(target.endpoint).host} does not serve parts of ${target.repoId}/${target.path}: asked for the bytes from ${start} to ${end}, it answered ${response.status} ${served}. Download the whole file.`,
    );
  }
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  for await (const chunk of chunks(url, response)) {
    if (filled + chunk.length > bytes.length) break;
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled === bytes.length) return bytes;
  throw new Unreachable(url, new Error(`${filled} of ${bytes.length} bytes came`));
}

/** The bytes `start <= i < end` of a file on the hub. */
export async function fetchRange(target: HubTarget, request: RangeRequest): Promise<Uint8Array> {
  if (request.end <= request.start) return new Uint8Array(0);
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await attempt(target, request);
    } catch (error) {
      if (request.signal?.aborted) throw aborted(request.signal);
      if (left === 0 || !(error instanceof Unreachable)) throw error;
    }
  }
}
