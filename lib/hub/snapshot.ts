import { open } from 'node:fs/promises';
import { MonosemError } from '../error.js';
import { type BlobRequest, fetchBlob, hasBlob, type RemoteFile } from './blob.js';
import { checkRelative, isCommit, RepositoryCache } from './cache.js';
import { type HubSettings, settle } from './environment.js';
import {
  aborted,
  type HubTarget,
  isMissingFile,
  isMissingRevision,
  missingFile,
  refusal,
} from './errors.js';
import { send } from './http.js';
import type { HubOptions } from './options.js';
import { fetchRange } from './range.js';
import { joinOrStart } from './shared.js';
import { type RepoFile, resolveCommit, walkTree } from './tree.js';

const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** A hub's answer that no cached copy makes up for: the revision is gone from a repository that is there. */
class MissingRevision extends MonosemError {}

/**
 * The files of one model repository at one commit, downloaded as they are asked for into the cache
 * that Python's huggingface_hub uses. The first answer of the hub fixes the commit, so that files of
 * one snapshot belong together even while the branch moves. When the hub cannot be reached, limits
 * the rate, or no longer gives access, what the cache holds of the revision is used instead.
 */
export class Snapshot {
  readonly repoId: string;
  readonly #settings: HubSettings;
  readonly #options: HubOptions;
  readonly #cache: RepositoryCache;
  readonly #heads = new Map<string, Promise<RemoteFile | undefined>>();
  /** The request that fixes the commit; others wait for it. */
  #first: Promise<unknown> | undefined;
  #commit: string | undefined;
  /** Only the cache is asked: by option, or since the hub failed. */
  #offline: boolean;

  constructor(repoId: string, options: HubOptions = {}) {
    this.repoId = repoId;
    this.#options = options;
    this.#settings = settle(options);
    this.#cache = new RepositoryCache(this.#settings.cacheDir, repoId);
    const { revision, offline } = this.#settings;
    checkRelative('A revision', revision);
    this.#offline = offline;
    if (offline) this.#commit = this.#cache.commitOf(revision);
    else if (isCommit(revision)) this.#commit = revision;
  }

  /** The commit, once known. */
  get commit(): string | undefined {
    return this.#commit;
  }

  /** The local path of a file, downloaded if need be. Throws ERR_NOT_FOUND if the repository has none. */
  async file(path: string): Promise<string> {
    const found = await this.#fetch(path);
    if (found !== undefined) return found;
    throw this.#offline ? this.#notCached(path) : missingFile(this.#target(path));
  }

  /** The same, or undefined if the repository (when offline: the cache) has no such file. */
  tryFile(path: string): Promise<string | undefined> {
    return this.#fetch(path);
  }

  /** Bytes of a file. Throws ERR_NOT_FOUND if the repository has none. */
  async size(path: string): Promise<number> {
    const local = this.#cached(path);
    if (local !== undefined) return withFile(local, async (file) => (await file.stat()).size);
    return (await this.#describe(path)).size;
  }

  /**
   * The bytes `start <= i < end` of a file without downloading it, fewer if it ends before; from disk
   * if the cache has it. Nothing vouches for them but the connection: no hash covers a part.
   */
  async readRange(path: string, start: number, end: number): Promise<Uint8Array> {
    const local = this.#cached(path);
    if (local !== undefined) {
      return withFile(local, async (file) => {
        const { size } = await file.stat();
        const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
        return bytes.subarray(0, bytesRead);
      });
    }
    const { size, commit } = await this.#describe(path);
    return fetchRange(this.#target(path), {
      url: this.#url(path, commit),
      token: this.#settings.token,
      start,
      end: Math.min(end, size),
      signal: this.#options.signal,
    });
  }

  /** Every file of the repository, or of one of its folders. Needs the hub. */
  async list(folder = ''): Promise<readonly RepoFile[]> {
    if (folder !== '') checkRelative('A folder', folder);
    if (this.#offline) throw this.#notCached(`the listing of ${folder || 'its files'}`);
    const { token } = this.#settings;
    const { signal } = this.#options;
    this.#commit ??= await resolveCommit(this.#target(), token, signal);
    return walkTree({ ...this.#target(), revision: this.#commit }, folder, token, signal);
  }

  #target(): HubTarget;
  #target(path: string): HubTarget & { path: string };
  #target(path?: string): HubTarget {
    const { endpoint, revision } = this.#settings;
    return { endpoint, repoId: this.repoId, revision, ...(path === undefined ? {} : { path }) };
  }

  #url(path: string, revision: string): string {
    const { endpoint } = this.#settings;
    return `${endpoint}/${this.repoId}/resolve/${encodeURIComponent(revision)}/${encodePath(path)}`;
  }

  #notCached(path: string): MonosemError {
    const { revision, cacheDir } = this.#settings;
    return new MonosemError(
      'ERR_OFFLINE',
      `${this.repoId} at ${revision} has ${path} not in the cache (${cacheDir}), and the hub is not to be asked (HF_HUB_OFFLINE, or the offline option) or did not answer. Load it once while online.`,
    );
  }

  #cached(path: string): string | undefined {
    if (this.#commit === undefined || (this.#settings.forceDownload && !this.#offline)) {
      return undefined;
    }
    return this.#cache.find(this.#commit, path);
  }

  async #fetch(path: string): Promise<string | undefined> {
    checkRelative('A file name', path);
    const { signal } = this.#options;
    if (signal?.aborted) throw aborted(signal);
    while (this.#commitPending) await this.#first;
    const local = this.#cached(path);
    if (local !== undefined || this.#offline) return local;
    const remote = await this.#head(path);
    // Asking may have ended offline.
    return remote ? this.#download(path, remote) : this.#cached(path);
  }

  async #describe(path: string): Promise<RemoteFile> {
    checkRelative('A file name', path);
    while (this.#commitPending) await this.#first;
    const remote = this.#offline ? undefined : await this.#head(path);
    if (remote) return remote;
    throw this.#offline ? this.#notCached(path) : missingFile(this.#target(path));
  }

  /** Another call is fixing the commit: wait, so that the two cannot get different ones. */
  get #commitPending(): boolean {
    return this.#commit === undefined && this.#first !== undefined;
  }

  /** What the hub says of a file, asked once; undefined if it is not there, or the cache must do. */
  #head(path: string): Promise<RemoteFile | undefined> {
    const known = this.#heads.get(path);
    if (known) return known;
    const head = this.#ask(path);
    this.#heads.set(path, head);
    const settled = head.catch(() => this.#heads.delete(path));
    if (this.#commit === undefined) {
      this.#first = settled.then(() => {
        this.#first = undefined;
      });
    }
    return head;
  }

  async #ask(path: string): Promise<RemoteFile | undefined> {
    const { revision } = this.#settings;
    const cachedCommit = this.#commit ?? this.#cache.commitOf(revision);
    const fallback =
      cachedCommit !== undefined &&
      (this.#cache.find(cachedCommit, path) || this.#cache.isKnownMissing(cachedCommit, path));
    if (this.#commit !== undefined && this.#cache.isKnownMissing(this.#commit, path)) {
      if (!this.#settings.forceDownload) return undefined;
    }
    try {
      return await this.#askHub(path, fallback ? 0 : undefined);
    } catch (error) {
      const { signal } = this.#options;
      if (!fallback || signal?.aborted || error instanceof MissingRevision) throw error;
      this.#commit = cachedCommit;
      this.#offline = true;
      return undefined;
    }
  }

  async #askHub(path: string, retries: number | undefined): Promise<RemoteFile | undefined> {
    const { revision, token } = this.#settings;
    const target = this.#target(path);
    const response = await send({
      url: this.#url(path, this.#commit ?? revision),
      method: 'HEAD',
      token,
      signal: this.#options.signal,
      ...(retries === undefined ? {} : { retries }),
    });
    const commit = response.headers.get('x-repo-commit') ?? this.#commit;
    const missing = isMissingFile(response);
    if (response.status >= 400 && !missing) {
      const error = refusal(response, target);
      throw isMissingRevision(response) ? new MissingRevision(error.code, error.message) : error;
    }
    if (commit === undefined || !isCommit(commit)) {
      if (missing) throw refusal(response, target);
      throw notAHub(target, 'no commit (x-repo-commit)');
    }
    await this.#cache.setCommit(revision, commit);
    this.#commit ??= commit;
    if (missing) {
      await this.#cache.setMissing(commit, path);
      return undefined;
    }
    return { commit, ...describedContent(response, target) };
  }

  async #download(path: string, remote: RemoteFile): Promise<string> {
    const { token, forceDownload } = this.#settings;
    const { onProgress, signal } = this.#options;
    const request: BlobRequest = {
      cache: this.#cache,
      remote,
      target: this.#target(path),
      url: this.#url(path, remote.commit),
      token,
      force: forceDownload,
    };
    if (forceDownload || !hasBlob(request)) {
      await joinOrStart(
        this.#cache.blob(remote.etag),
        (stop, report) => fetchBlob(request, stop, report),
        (loaded) => onProgress?.({ file: path, loaded, total: remote.size }),
        signal,
      );
    }
    return this.#cache.link(remote.commit, path, remote.etag);
  }
}

async function withFile<T>(
  path: string,
  body: (file: Awaited<ReturnType<typeof open>>) => Promise<T>,
): Promise<T> {
  const file = await open(path, 'r');
  try {
    return await body(file);
  } finally {
    await file.close();
  }
}

function notAHub({ endpoint, repoId, path }: HubTarget, lacks: string): MonosemError {
  return new MonosemError(
    'ERR_NETWORK',
    `The answer of ${endpoint} for ${repoId}/${path} has ${lacks}: it is not a Hugging Face hub's. Check HF_ENDPOINT and proxies.`,
  );
}

/** The etag becomes a file name: only what a hash is spelled with may pass. */
function describedContent(response: Response, target: HubTarget): { etag: string; size: number } {
  const { headers } = response;
  const etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '')
    .replace(/^W\//, '')
    .replaceAll('"', '');
  if (!/^[0-9a-zA-Z_-]{1,128}$/.test(etag)) throw notAHub(target, 'no usable etag');
  // The length of a redirect is that of its own body.
  const length = response.ok ? headers.get('content-length') : null;
  const size = Number(headers.get('x-linked-size') ?? length ?? Number.NaN);
  if (!Number.isSafeInteger(size) || size < 0) throw notAHub(target, 'no file size');
  return { etag, size };
}

/** One file of a repository as a local path: `new Snapshot(repoId, options).file(path)`. */
export async function downloadFile(
  request: HubOptions & { repoId: string; path: string },
): Promise<string> {
  const { repoId, path, ...options } = request;
  return new Snapshot(repoId, options).file(path);
}
