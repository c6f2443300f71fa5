import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

type Files = ReadonlyMap<string, Buffer>;

interface Repository {
  readonly commits: Map<string, Files>;
  main: string;
}

/** A request as it came in, for assertions and for choosing faults. */
export interface SeenRequest {
  /** "hub" answers names, "cdn" (another origin) serves the bytes of large files. */
  readonly server: 'hub' | 'cdn';
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface Fault {
  /** Answer this instead. */
  status?: number;
  headers?: Record<string, string>;
  /** Break the connection after so many bytes of the body. */
  cutAfter?: number;
  /** Serve other bytes of the same length. */
  corrupt?: boolean;
  /** Ignore Range. */
  ignoreRange?: boolean;
  /** Pause before each 64 KiB of the body. */
  slowMs?: number;
}

export interface TestHubOptions {
  /** Repositories as folders: `root/owner/name/...`. */
  root?: string;
  /** The token that opens gated repositories; any other is refused. */
  token?: string;
  gated?: readonly string[];
  renamed?: Readonly<Record<string, string>>;
  /** Entries on a page of a listing. */
  pageSize?: number;
  /** Which files are large-file pointers, served by the CDN under their sha256. */
  isLfs?: (path: string, size: number) => boolean;
}

export interface TestHub {
  readonly url: string;
  readonly requests: SeenRequest[];
  /** Asked before each answer; undefined lets it pass. */
  fault: (request: SeenRequest) => Fault | undefined;
  /** Adds files to a repository (made if need be) in a new commit of main; returns the commit. */
  push(repoId: string, files: Readonly<Record<string, string | Uint8Array>>): string;
  close(): Promise<void>;
}

const hex = (algorithm: string, ...parts: (string | Buffer)[]) =>
  parts.reduce((hash, part) => hash.update(part), createHash(algorithm)).digest('hex');
const gitHash = (data: Buffer) => hex('sha1', `blob ${data.length}\0`, data);

function readFolder(folder: string, prefix = ''): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      for (const [inner, data] of readFolder(path, `${prefix}${name}/`)) files.set(inner, data);
    } else {
      files.set(prefix + name, readFileSync(path));
    }
  }
  return files;
}

function commitTo(repository: Repository | undefined, files: Files): Repository {
  const all = new Map([...(repository?.commits.get(repository.main) ?? []), ...files]);
  const listing = [...all].map(([path, data]) => `${path} ${gitHash(data)}`).join('\n');
  const sha = hex('sha1', listing);
  const commits = repository?.commits ?? new Map();
  commits.set(sha, all);
  return { commits, main: sha };
}

/** Sends bytes with Range, HEAD and faults. */
async function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  data: Buffer,
  headers: Record<string, string>,
  fault: Fault,
): Promise<void> {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const asked = range && !fault.ignoreRange;
  const start = asked ? Number(range[1]) : 0;
  const end = asked && range[2] ? Math.min(Number(range[2]) + 1, data.length) : data.length;
  if (start > data.length) return void response.writeHead(416).end();
  let body = data.subarray(start, end);
  if (fault.corrupt) body = Buffer.from(body.map((byte) => byte ^ 0x5a));
  response.writeHead(asked ? 206 : 200, {
    ...headers,
    'content-length': String(body.length),
    'accept-ranges': 'bytes',
    ...(asked ? { 'content-range': `bytes ${start}-${end - 1}/${data.length}` } : {}),
  });
  if (request.method === 'HEAD') return void response.end();
  response.flushHeaders();
  const stop = Math.min(body.length, fault.cutAfter ?? body.length);
  for (let at = 0; at < stop && !response.destroyed; at += 65_536) {
    if (fault.slowMs) await sleep(fault.slowMs);
    const chunk = body.subarray(at, Math.min(stop, at + 65_536));
    await new Promise<void>((resolve) => response.write(chunk, () => resolve()));
  }
  if (fault.cutAfter === undefined) response.end();
  else response.socket?.end(); // Not destroyed: what was sent arrives.
}

/**
 * A Hugging Face hub on loopback: file resolution with the redirects of the real one (small files to a
 * cache path of the hub, large ones to a CDN of another origin), listings in pages, gated, missing and
 * renamed repositories, Range, and faults on demand.
 */
export async function startTestHub(options: TestHubOptions = {}): Promise<TestHub> {
  const { root, token, gated = [], renamed = {}, pageSize = 1000 } = options;
  const isLfs = options.isLfs ?? ((path) => /\.(safetensors|npz|pth?|bin)$/.test(path));
  const repositories = new Map<string, Repository>();
  const requests: SeenRequest[] = [];
  const contents = new Map<string, Buffer>();

  function repositoryOf(repoId: string): Repository | undefined {
    const folder = root && join(root, repoId);
    if (!repositories.has(repoId) && folder && existsSync(folder)) {
      repositories.set(repoId, commitTo(undefined, readFolder(folder)));
    }
    return repositories.get(repoId);
  }

  function refuse(response: ServerResponse, status: number, code: string, message: string): void {
    response.writeHead(status, {
      'x-error-code': code,
      'x-error-message': message,
      'content-type': 'application/json',
    });
    response.end(JSON.stringify({ error: message }));
  }

  /** The repository, or an answer that says why not. */
  function admit(
    request: IncomingMessage,
    response: ServerResponse,
    repoId: string,
  ): Repository | undefined {
    const given = request.headers.authorization;
    const moved = renamed[repoId];
    const valid = token !== undefined && given === `Bearer ${token}`;
    if (moved !== undefined) {
      response.writeHead(307, { location: (request.url ?? '').replace(repoId, moved) }).end();
      return undefined;
    }
    const repository = repositoryOf(repoId);
    if (!repository) {
      const status = valid ? 404 : 401;
      refuse(response, status, 'RepoNotFound', 'Repository not found or invalid credentials');
    } else if (gated.includes(repoId) && !valid) {
      const message = `Access to model ${repoId} is restricted.`;
      refuse(response, given === undefined ? 401 : 403, 'GatedRepo', message);
    } else {
      return repository;
    }
    return undefined;
  }

  async function resolveFile(
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault,
    match: RegExpExecArray,
  ): Promise<void> {
    const [, prefix = '', repoId = '', revision = '', path = ''] = match;
    const repository = admit(request, response, repoId);
    if (!repository) return;
    const commit = revision === 'main' ? repository.main : revision;
    const files = repository.commits.get(commit);
    if (!files) return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    const data = files.get(path);
    const headers = { 'x-repo-commit': commit };
    if (!data) {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      return refuse(response, 404, 'EntryNotFound', 'Entry not found');
    }
    if (isLfs(path, data.length)) {
      const sha256 = hex('sha256', data);
      contents.set(sha256, data);
      response.writeHead(302, {
        ...headers,
        location: `${cdnUrl}/${sha256}?signature=x`,
        'x-linked-etag': `"${sha256}"`,
        'x-linked-size': String(data.length),
      });
      return void response.end();
    }
    const etag = { etag: `W/"${gitHash(data)}"` };
    if (prefix === '/api/resolve-cache/models') {
      return sendBody(request, response, data, { ...headers, ...etag }, fault);
    }
    const cached = `/api/resolve-cache/models/${repoId}/${commit}/${encodeURI(path)}`;
    response.writeHead(307, { ...headers, ...etag, location: cached }).end();
  }

  async function list(
    request: IncomingMessage,
    response: ServerResponse,
    repoId: string,
    revision: string,
    folder: string,
  ): Promise<void> {
    const repository = admit(request, response, repoId);
    if (!repository) return;
    const files = repository.commits.get(revision === 'main' ? repository.main : revision);
    if (!files) return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    const url = new URL(request.url ?? '', hubUrl);
    const page = Number(url.searchParams.get('cursor') ?? 0);
    const entries = [...files]
      .filter(([path]) => folder === '' || path.startsWith(`${folder}/`))
      .map(([path, data]) => ({ type: 'file', path, size: data.length, oid: gitHash(data) }));
    if (entries.length > (page + 1) * pageSize) {
      url.searchParams.set('cursor', String(page + 1));
      response.setHeader('link', `<${url.href}>; rel="next"`);
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(entries.slice(page * pageSize, (page + 1) * pageSize)));
  }

  async function answerHub(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    fault: Fault,
  ): Promise<void> {
    const file =
      /^(\/api\/resolve-cache\/models)\/([^/]+\/[^/]+)\/([^/]+)\/(.+)$/.exec(path) ??
      /^()\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    if (file) return resolveFile(request, response, fault, file);
    const tree = /^\/api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)\/?(.*)$/.exec(path);
    if (tree) return list(request, response, tree[1] ?? '', tree[2] ?? '', tree[3] ?? '');
    const info = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/([^/]+)$/.exec(path);
    const repository = info && admit(request, response, info[1] ?? '');
    if (repository) return void response.end(JSON.stringify({ sha: repository.main }));
    if (!info) refuse(response, 404, '', 'no such route');
  }

  async function answer(
    server: 'hub' | 'cdn',
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const path = decodeURIComponent(new URL(request.url ?? '', 'http://x').pathname);
    const seen: SeenRequest = {
      server,
      method: request.method ?? '',
      path,
      range: request.headers.range,
      authorization: request.headers.authorization,
    };
    requests.push(seen);
    const fault = hub.fault(seen) ?? {};
    if (fault.status !== undefined) {
      return void response.writeHead(fault.status, fault.headers).end('fault');
    }
    if (server === 'hub') return answerHub(request, response, path, fault);
    const data = contents.get(path.slice(1));
    if (!data) return void response.writeHead(404).end();
    return sendBody(request, response, data, {}, fault);
  }

  const servers = (['hub', 'cdn'] as const).map((name) =>
    createServer((request, response) => {
      answer(name, request, response).catch(() => response.destroy());
    }),
  );
  const [hubUrl = '', cdnUrl = ''] = await Promise.all(
    servers.map(async (server) => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    }),
  );

  const hub: TestHub = {
    url: hubUrl,
    requests,
    fault: () => undefined,
    push(repoId, files) {
      const added = Object.entries(files).map(
        ([path, data]) => [path, Buffer.from(data as Uint8Array)] as const,
      );
      const repository = commitTo(repositoryOf(repoId), new Map(added));
      repositories.set(repoId, repository);
      return repository.main;
    },
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  };
  return hub;
}
