import { randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { copyFile, mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { MonosemError } from '../error.js';

export const isCommit = (revision: string) => /^[0-9a-f]{40}$/.test(revision);

/**
 * Refuses what could lead outside the folder it is joined to. Names come from repositories of
 * strangers, and from callers; "layer_0/params.npz" is fine, "../x", "/x", "a//b" and "a\b" are not.
 */
export function checkRelative(kind: string, path: string): void {
  const safe = path
    .split('/')
    .every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\:\0]/.test(part));
  if (!safe) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `${kind} must be a relative path in the repository, without "..", empty parts, ":" or backslashes: ${JSON.stringify(path)} is not.`,
    );
  }
}

function checkRepoId(repoId: string): void {
  if (!/^[\w.-]+(\/[\w.-]+)?$/.test(repoId) || /^\.+$|\.\.|--|\/\.|^\./.test(repoId)) {
    throw new MonosemError(
      'ERR_INVALID_ARGUMENT',
      `A repository id is "owner/name" of letters, digits, "-", "_" and ".", not ${JSON.stringify(repoId)}.`,
    );
  }
}

/** Atomic: whoever looks sees the old content or the new. */
async function replaceFile(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, content);
  await rename(temporary, path);
}

/**
 * One model repository in Python's cache, so that both sides share its files:
 *
 *     models--owner--name/
 *       refs/main                       the commit a branch or tag was at
 *       blobs/<etag>                    contents: sha256 of large files, git's hash of small ones
 *       snapshots/<commit>/<path>       relative link to its blob
 *       .no_exist/<commit>/<path>       known not to be in that commit
 */
export class RepositoryCache {
  readonly root: string;
  readonly #locks: string;

  constructor(cacheDir: string, repoId: string) {
    checkRepoId(repoId);
    const folder = `models--${repoId.replaceAll('/', '--')}`;
    this.root = join(cacheDir, folder);
    this.#locks = join(cacheDir, '.locks', folder);
  }

  blob(etag: string): string {
    return join(this.root, 'blobs', etag);
  }

  /** Ours alone: a Python process fills `<etag>.incomplete` under a lock that we cannot see. */
  partial(etag: string): string {
    return join(this.root, 'blobs', `${etag}.monosem.incomplete`);
  }

  lock(etag: string): string {
    return join(this.#locks, `${etag}.monosem.lock`);
  }

  /** The commit that `revision` names, as far as the cache knows. */
  commitOf(revision: string): string | undefined {
    if (isCommit(revision)) return revision;
    try {
      const commit = readFileSync(join(this.root, 'refs', revision), 'utf8').trim();
      return isCommit(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  /** Remembers what a later call can ask again: a cache that cannot be written to need not. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || this.commitOf(revision) === commit) return;
    await replaceFile(join(this.root, 'refs', revision), commit).catch(() => {});
  }

  #pointer(commit: string, path: string): string {
    return join(this.root, 'snapshots', commit, path);
  }

  /** The local path of a file of a commit, if its content is here. */
  find(commit: string, path: string): string | undefined {
    const pointer = this.#pointer(commit, path);
    return statSync(pointer, { throwIfNoEntry: false })?.isFile() ? pointer : undefined;
  }

  isKnownMissing(commit: string, path: string): boolean {
    const marker = join(this.root, '.no_exist', commit, path);
    return statSync(marker, { throwIfNoEntry: false }) !== undefined;
  }

  /** Remembered if it can be, like the commit. */
  async setMissing(commit: string, path: string): Promise<void> {
    await replaceFile(join(this.root, '.no_exist', commit, path), '').catch(() => {});
  }

  /** Puts a complete blob into a snapshot, in one step, and returns its path there. */
  async link(commit: string, path: string, etag: string): Promise<string> {
    const pointer = this.#pointer(commit, path);
    const target = relative(dirname(pointer), this.blob(etag));
    if ((await readlink(pointer).catch(() => undefined)) === target) return pointer;
    await mkdir(dirname(pointer), { recursive: true });
    const temporary = `${pointer}.${randomUUID()}`;
    try {
      await symlink(target, temporary).catch((error) => {
        // A file system or an account without symbolic links.
        if (error.code !== 'EPERM' && error.code !== 'ENOTSUP') throw error;
        return copyFile(this.blob(etag), temporary);
      });
      await rename(temporary, pointer);
    } finally {
      await rm(temporary, { force: true });
    }
    return pointer;
  }
}
