import { open, stat } from 'node:fs/promises';
import { MonosemError } from '../error.js';
import { type BlobRequest, fetchBlob, hasBlob } from './blob.js';
import { checkRelative, isCommit, RepositoryCache } from './cache.js';
import { describeFile, MissingRevision, type RemoteFile } from './describe.js';
import { type HubSettings, settle } from './environment.js';
import { aborted, type HubTarget, missingFile } from './errors.js';
import type { HubOptions } from './options.js';
import { fetchRange } from './range.js';
import { joinOrStart } from './shared.js';
import { type RepoFile, resolveCommit, walkTree } from './tree.js';

const encodePath = (path: string) => path.split('/').map(encodeURIComponent).join('/');

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
  /** Why the hub is no longer asked: it failed where the cache could make up for it. */
  #failure: unknown;

  constructor(repoId: string, options: HubOptions = {}) {
    this.repoId = repoId;
    this.#options = options;
    this.#settings = settle(options);
    this.#cache = new RepositoryCache(this.#settings.cacheDir, repoId);
    const { revision, offline } = this.#settings;
    checkRelative('A revision', revision);
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
    throw this.#lacking(path);
  }

  /** The same, or undefined if the repository (when offline: the cache) has no such file. */
  tryFile(path: string): Promise<string | undefined> {
    return this.#fetch(path);
  }

  /** Bytes of a file. Throws ERR_NOT_FOUND if the repository has none. */
  async size(path: string): Promise<number> {
    checkRelative('A file name', path);
    const local = this.#cached(path);
    if (local !== undefined) return (await stat(local)).size;
    return (await this.#describe(path)).size;
  }

  /**
   * The bytes `start <= i < end` of a file without downloading it, fewer if it ends before; from disk
   * if the cache has it. Nothing vouches for them but the connection: no hash covers a part.
   */
  async readRange(path: string, start: number, end: number): Promise<Uint8Array> {
    checkRelative('A file name', path);
    const local = this.#cached(path);
    if (local !== undefined) return readLocal(local, start, end);
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
    if (this.#offline) throw this.#lacking(`The listing${folder && ` of ${folder}`}`);
    const { token } = this.#settings;
    const { signal } = this.#options;
    this.#commit ??= await resolveCommit(this.#target(), token, signal);
    return walkTree({ ...this.#target(), revision: this.#commit }, folder, token, signal);
  }

  /** Only the cache is asked: by option, or since the hub failed. */
  get #offline(): boolean {
    return this.#settings.offline || this.#failure !== undefined;
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

  /** Why a file cannot be had. */
  #lacking(path: string): unknown {
    if (this.#failure !== undefined) return this.#failure;
    if (!this.#settings.offline) return missingFile(this.#target(path));
    const { revision, cacheDir } = this.#settings;
    return new MonosemError(
      'ERR_OFFLINE',
      `${path} of ${this.repoId} at ${revision} is not in the cache (${cacheDir}), and the hub is not to be asked (HF_HUB_OFFLINE, or the offline option). Load it once while online.`,
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
    while (this.#commitPending) await this.#first;
    const remote = this.#offline ? undefined : await this.#head(path);
    if (remote) return remote;
    throw this.#lacking(path);
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
    const { revision, token, forceDownload } = this.#settings;
    const { signal } = this.#options;
    const last = this.#commit ?? this.#cache.commitOf(revision);
    const knownMissing = last !== undefined && this.#cache.isKnownMissing(last, path);
    if (knownMissing && last === this.#commit && !forceDownload) return undefined;
    const inCache = last !== undefined && (knownMissing || !!this.#cache.find(last, path));
    const mayFail = inCache && !forceDownload;
    try {
      const { commit, file } = await describeFile(this.#target(path), this.#commit, {
        url: this.#url(path, this.#commit ?? revision),
        token,
        signal,
        // With a copy at hand, neither time nor the hub's patience is spent on asking again.
        ...(mayFail ? { retries: 0 } : {}),
      });
      await this.#cache.setCommit(revision, commit);
      this.#commit = commit;
      if (!file) await this.#cache.setMissing(commit, path);
      return file;
    } catch (error) {
      if (!mayFail || signal?.aborted || error instanceof MissingRevision) throw error;
      this.#commit = last;
      this.#failure = error;
      return undefined;
    }
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

async function readLocal(path: string, start: number, end: number): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.max(0, Math.min(end, size) - start));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** One file of a repository as a local path: `new Snapshot(repoId, options).file(path)`. */
export async function downloadFile(
  request: HubOptions & { repoId: string; path: string },
): Promise<string> {
  const { repoId, path, ...options } = request;
  return new Snapshot(repoId, options).file(path);
}
