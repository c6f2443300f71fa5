import { MonosemError } from '../error.js';
import { isCommit } from './cache.js';
import { type HubTarget, isMissingFile, isMissingRevision, refusal } from './errors.js';
import { type HubRequest, send } from './http.js';

/** A file of one commit, as the hub describes it. */
export interface RemoteFile {
  readonly commit: string;
  /** Names the content: sha256 for large files (LFS), git's hash of the blob for the others. */
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

/** The repository is there and the revision is not, which no cached copy makes up for. */
export class MissingRevision extends MonosemError {}

function notAHub({ endpoint, repoId, path }: HubTarget, fault: string): MonosemError {
  return new MonosemError(
    'ERR_NETWORK',
    `The answer of ${endpoint} for ${repoId}/${path} has ${fault}: it is not a Hugging Face hub's. Check HF_ENDPOINT and proxies.`,
  );
}

/** The etag becomes a file name: only what a hash is spelled with may pass. */
function readContent(response: Response, target: HubTarget): { etag: string; size: number } {
  const { headers } = response;
  const etag = (headers.get('x-linked-etag') ?? headers.get('etag') ?? '')
    .replace(/^W\//, '')
    .replaceAll('"', '');
  if (!/^[0-9a-zA-Z_-]{1,128}$/.test(etag)) throw notAHub(target, 'no usable etag');
  // The length of a redirect is that of its own body.
  const length = response.ok ? headers.get('content-length') : null;
  const size = headers.get('x-linked-size') ?? length ?? '';
  if (!/^\d{1,15}$/.test(size)) throw notAHub(target, 'no file size');
  return { etag, size: Number(size) };
}

/**
 * Asks what a file is, by one HEAD: the commit that its revision is at and, unless that commit does not
 * have it, its content. `pinned` is the commit that `request` names, if it names one.
 */
export async function describeFile(
  target: HubTarget,
  pinned: string | undefined,
  request: Omit<HubRequest, 'method'>,
): Promise<{ commit: string; file?: RemoteFile }> {
  const response = await send({ ...request, method: 'HEAD' });
  const missing = isMissingFile(response);
  if (response.status >= 400 && !missing) {
    const error = refusal(response, target);
    throw isMissingRevision(response) ? new MissingRevision(error.code, error.message) : error;
  }
  const commit = response.headers.get('x-repo-commit') ?? pinned;
  if (commit === undefined || !isCommit(commit)) {
    throw missing ? refusal(response, target) : notAHub(target, 'no commit (x-repo-commit)');
  }
  if (commit !== (pinned ?? commit)) throw notAHub(target, 'another commit than was asked for');
  return missing ? { commit } : { commit, file: { commit, ...readContent(response, target) } };
}
