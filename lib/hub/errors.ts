import { MonosemError } from '../error.js';

/** What was asked of the hub, for messages. */
export interface HubTarget {
  readonly endpoint: string;
  readonly repoId: string;
  readonly revision: string;
  readonly path?: string;
}

export function aborted(signal: AbortSignal): MonosemError {
  return new MonosemError(
    'ERR_ABORTED',
    'The download was aborted. What had arrived is kept: the same call resumes it.',
    { cause: signal.reason },
  );
}

/** No answer at all: no route, no name, a connection cut or silent. */
export class Unreachable extends MonosemError {
  constructor(url: string, cause: unknown) {
    const root = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
    const why = root instanceof Error ? root.message || (root as NodeJS.ErrnoException).code : '';
    super(
      'ERR_NETWORK',
      `Cannot reach ${new URL(url).origin}${why ? ` (${why})` : ''}. Check the connection and HF_ENDPOINT; what is in the cache loads without one.`,
      { cause },
    );
  }
}

/** The repository is there, and the file is not in it. */
export function isMissingFile(response: Response): boolean {
  const code = response.headers.get('x-error-code');
  return response.status === 404 && (code === 'EntryNotFound' || code === null);
}

/** The repository is there, and has no such branch, tag or commit. */
export function isMissingRevision(response: Response): boolean {
  return response.headers.get('x-error-code') === 'RevisionNotFound';
}

export function missingFile({ endpoint, repoId, revision, path }: HubTarget): MonosemError {
  return new MonosemError(
    'ERR_NOT_FOUND',
    `${repoId} has no file ${path} at revision ${revision}. Its files: ${endpoint}/${repoId}/tree/${revision}`,
  );
}

/** The error for an answer that is neither a success nor a redirect. */
export function refusal(response: Response, target: HubTarget): MonosemError {
  const { endpoint, repoId, revision, path } = target;
  const { status, headers } = response;
  const code = headers.get('x-error-code');
  const said = headers.get('x-error-message')?.slice(0, 300);
  const because = said ? ` The hub says: ${said}` : '';
  const page = `${endpoint}/${repoId}`;

  if (code === 'GatedRepo') {
    return new MonosemError(
      'ERR_GATED',
      `${repoId} is gated. Accept its terms at ${page}, then set HF_TOKEN (or the token option) to a token of that account that may read gated repositories, from ${endpoint}/settings/tokens.${because}`,
    );
  }
  if (isMissingRevision(response)) {
    return new MonosemError(
      'ERR_NOT_FOUND',
      `${repoId} has no revision "${revision}". Its branches and tags: ${page}/refs`,
    );
  }
  if (code === 'RepoNotFound' || status === 401) {
    return new MonosemError(
      'ERR_NOT_FOUND',
      `No repository ${page}, or it is private, or the token is not valid: for a private one, set HF_TOKEN to a token that may read it, from ${endpoint}/settings/tokens.${because}`,
    );
  }
  if (isMissingFile(response) && path !== undefined) return missingFile(target);
  if (status === 403) {
    return new MonosemError(
      'ERR_GATED',
      `The hub does not let this account read ${page} (HTTP 403).${because}`,
    );
  }
  const after = headers.get('retry-after');
  const advice =
    status === 429
      ? ` Too many requests: wait${after ? ` (retry-after: ${after})` : ''}, or set HF_TOKEN for a higher limit.`
      : '';
  return new MonosemError(
    'ERR_NETWORK',
    `HTTP ${status} from ${new URL(endpoint).host} for ${repoId}${path === undefined ? '' : `/${path}`}.${advice}${because}`,
  );
}
