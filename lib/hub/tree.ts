import { MonosemError } from '../error.js';
import { type HubTarget, refusal, Unreachable } from './errors.js';
import { send } from './http.js';

export interface RepoFile {
  /** As the repository spells it: check it before joining it to a folder. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

async function askJson(
  url: string,
  target: HubTarget,
  token: string | undefined,
  signal: AbortSignal | undefined,
): Promise<{ body: unknown; headers: Headers }> {
  const response = await send({ url, method: 'GET', token, signal });
  if (!response.ok) {
    await response.body?.cancel();
    throw refusal(response, target);
  }
  try {
    return { body: await response.json(), headers: response.headers };
  } catch (error) {
    throw new Unreachable(url, error);
  }
}

const api = ({ endpoint, repoId }: HubTarget) => `${endpoint}/api/models/${repoId}`;

/** The commit that a branch or tag is at. */
export async function resolveCommit(
  target: HubTarget,
  token: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  const url = `${api(target)}/revision/${encodeURIComponent(target.revision)}`;
  const { body } = await askJson(url, target, token, signal);
  const sha = (body as { sha?: unknown } | null)?.sha;
  if (typeof sha === 'string' && /^[0-9a-f]{40}$/.test(sha)) return sha;
  throw new MonosemError('ERR_NETWORK', `${url} gives no commit: it is not a Hugging Face hub's.`);
}

function filesOf(body: unknown): RepoFile[] {
  if (!Array.isArray(body)) return [];
  return body
    .filter((entry) => entry?.type === 'file' && typeof entry.path === 'string')
    .map(({ path, size }) => ({ path, size: Number(size) }));
}

/** The page after this one. The token goes along, so it must be the same hub's. */
function nextPage(url: string, headers: Headers): string | undefined {
  const link = /<([^>]+)>\s*;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
  if (link === undefined || !URL.canParse(link, url)) return undefined;
  const next = new URL(link, url);
  return next.origin === new URL(url).origin && next.href !== url ? next.href : undefined;
}

/** Every file under a folder, page after page. */
export async function walkTree(
  target: HubTarget,
  folder: string,
  token: string | undefined,
  signal: AbortSignal | undefined,
): Promise<RepoFile[]> {
  const under = folder.split('/').map(encodeURIComponent).join('/');
  const start = `${api(target)}/tree/${encodeURIComponent(target.revision)}/${under}?recursive=true`;
  const files: RepoFile[] = [];
  let url: string | undefined = start;
  while (url !== undefined) {
    const { body, headers } = await askJson(url, target, token, signal);
    files.push(...filesOf(body));
    url = nextPage(url, headers);
  }
  return files;
}
