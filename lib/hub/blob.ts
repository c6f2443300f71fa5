import { createHash, type Hash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MonosemError } from '../error.js';
import type { RepositoryCache } from './cache.js';
import type { RemoteFile } from './describe.js';
import { aborted, type HubTarget, refusal, Unreachable } from './errors.js';
import { backoff, chunks, pause, send } from './http.js';
import { withLock } from './lock.js';

export interface BlobRequest {
  readonly cache: RepositoryCache;
  readonly remote: RemoteFile;
  readonly target: HubTarget & { readonly path: string };
  /** Of the file at its commit, so that a branch that moves meanwhile does not change the bytes. */
  readonly url: string;
  readonly token: string | undefined;
  readonly force: boolean;
}

type Report = (loaded: number) => void;

/** Attempts in a row that may fail without a byte arriving. */
const FRUITLESS_ATTEMPTS = 5;

const isSha256 = (etag: string) => /^[0-9a-f]{64}$/.test(etag);

export function hasBlob({ cache, remote }: BlobRequest): boolean {
  const found = statSync(cache.blob(remote.etag), { throwIfNoEntry: false });
  return found !== undefined && found.size === remote.size;
}

/** The partial file of a blob: a prefix of the content, and the hash of that prefix. */
class PartialFile {
  loaded = 0;
  #hash: Hash = createHash('sha256');
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Takes over what an earlier attempt left. */
  async resume(path: string, size: number): Promise<void> {
    const { size: kept } = await this.#file.stat();
    if (kept > size) return this.restart();
    for await (const chunk of createReadStream(path, { end: Math.max(0, kept - 1) })) {
      this.#hash.update(chunk);
      this.loaded += chunk.length;
    }
  }

  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.loaded = 0;
    this.#hash = createHash('sha256');
  }

  /** At its place rather than at the end: two writers of one content cannot disturb each other. */
  async append(chunk: Uint8Array): Promise<void> {
    for (let written = 0; written < chunk.length; ) {
      const position = this.loaded + written;
      const rest = chunk.length - written;
      written += (await this.#file.write(chunk, written, rest, position)).bytesWritten;
    }
    this.#hash.update(chunk);
    this.loaded += chunk.length;
  }

  /** On disk, before it gets its final name. */
  async finish(): Promise<string> {
    await this.#file.datasync();
    return this.#hash.digest('hex');
  }
}

function corrupt({ target, remote }: BlobRequest, found: string): MonosemError {
  return new MonosemError(
    'ERR_INTEGRITY',
    `${target.repoId}/${target.path} arrived damaged: ${found}, expected ${isSha256(remote.etag) ? `sha256 ${remote.etag}` : `${remote.size} bytes`}. Nothing was kept; try again, or check what stands between here and ${target.endpoint}.`,
  );
}

/** One answer's bytes, from where the partial file ends. */
async function receive(
  request: BlobRequest,
  partial: PartialFile,
  held: AbortSignal,
  report: Report,
): Promise<void> {
  const { remote, target, url, token } = request;
  const from = partial.loaded;
  const response = await send({
    url,
    method: 'GET',
    token,
    ...(from > 0 ? { range: [from] as const } : {}),
    signal: held,
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw refusal(response, target);
  }
  // Without 206 the whole file comes, whatever was asked for.
  const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
  const start = response.status === 206 ? Number(range?.[1]) : 0;
  if (start !== from) await partial.restart();
  if (start !== partial.loaded) return void (await response.body?.cancel());
  for await (const chunk of chunks(url, response)) {
    if (held.aborted) throw aborted(held);
    if (partial.loaded + chunk.length > remote.size) {
      await partial.restart();
      throw corrupt(request, `more than ${remote.size} bytes came`);
    }
    await partial.append(chunk);
    report(partial.loaded);
  }
}

/** Asks until every byte is here. An attempt that brought some costs nothing; others wait longer and longer. */
async function receiveAll(
  request: BlobRequest,
  partial: PartialFile,
  held: AbortSignal,
  report: Report,
): Promise<void> {
  const { remote, target } = request;
  let fruitless = 0;
  while (partial.loaded < remote.size) {
    const before = partial.loaded;
    let cause: unknown;
    try {
      await receive(request, partial, held, report);
    } catch (error) {
      if (held.aborted) throw aborted(held);
      if (!(error instanceof Unreachable)) throw error;
      cause = error;
    }
    if (partial.loaded > before) fruitless = 0;
    else if (++fruitless < FRUITLESS_ATTEMPTS) await pause(backoff(fruitless), held);
    else {
      throw new MonosemError(
        'ERR_NETWORK',
        `The download of ${target.repoId}/${target.path} broke at ${partial.loaded} of ${remote.size} bytes. Those are kept: the same call resumes it.`,
        { cause },
      );
    }
  }
}

async function fill(request: BlobRequest, held: AbortSignal, report: Report): Promise<void> {
  const { cache, remote } = request;
  const path = cache.partial(remote.etag);
  const file = await open(path, 'r+').catch(() => open(path, 'w+'));
  try {
    const partial = new PartialFile(file);
    await partial.resume(path, remote.size);
    for (let resumed = partial.loaded > 0; ; resumed = false) {
      await receiveAll(request, partial, held, report);
      const sha256 = await partial.finish();
      if (!isSha256(remote.etag) || sha256 === remote.etag) break;
      await partial.restart();
      // The fault may lie in what an earlier run left; what this run alone received has no excuse.
      if (!resumed) throw corrupt(request, `sha256 ${sha256}`);
    }
    if (held.aborted) throw aborted(held);
    await rename(path, cache.blob(remote.etag));
  } catch (error) {
    if (error instanceof MonosemError && error.code === 'ERR_INTEGRITY') await rm(path);
    throw error;
  } finally {
    await file.close();
  }
}

/**
 * Fetches a blob into the cache: resumed from what an earlier call left, checked against its hash,
 * and under its final name only when complete. One process at a time; the others wait and find it done.
 */
export async function fetchBlob(
  request: BlobRequest,
  signal: AbortSignal,
  report: Report,
): Promise<void> {
  const { cache, remote, force } = request;
  const partial = cache.partial(remote.etag);
  await mkdir(dirname(partial), { recursive: true });
  const reportAnother = () => {
    const another = statSync(partial, { throwIfNoEntry: false });
    if (another) report(another.size);
  };
  const fillOnce = async (held: AbortSignal) => {
    if (force || !hasBlob(request)) await fill(request, held, report);
  };
  await withLock(cache.lock(remote.etag), signal, fillOnce, reportAnother);
}
