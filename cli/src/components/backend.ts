import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';

/** What a sample backend says of a request that reached it. */
export interface Echo {
  /** The backend's own name. */
  readonly name: string;
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** Lower-case names; several values joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Backend {
  readonly name: string;
  readonly port: number;
  /** How many requests reached it. */
  readonly requests: number;
  stop(): Promise<void>;
}

export interface BackendOptions {
  readonly name: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: one that is free. */
  readonly port?: number;
}

const maxBodyBytes = 1024 * 1024;

/**
 * A sample HTTP/1.1 service on loopback that answers with what it got (an `Echo` as JSON). Told by
 * the query of the request: `status=503` answers with that status, `delay_ms=200` waits first.
 */
export async function startBackend(options: BackendOptions): Promise<Backend> {
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    answer(options.name, request, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 60_000;
  server.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return {
    name: options.name,
    port: address.port,
    get requests() {
      return requests;
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

async function answer(
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await bodyOf(request);
  const headers: Record<string, string> = {};
  for (const [key, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[key] = Array.isArray(value) ? value.join(', ') : value;
  }
  const path = request.url ?? '/';
  const echo: Echo = {
    name,
    protocol: `HTTP/${request.httpVersion}`,
    method: request.method ?? '',
    path,
    authority: request.headers.host ?? '',
    headers,
    body,
  };
  const wish = wishOf(path);
  if (wish.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, wish.delayMs));
  response.writeHead(wish.status, { 'content-type': 'application/json', 'x-backend': name });
  response.end(`${JSON.stringify(echo)}\n`);
}

/** How the query of a request wishes to be answered. */
export function wishOf(path: string): { readonly status: number; readonly delayMs: number } {
  const query = new URL(path, 'http://backend').searchParams;
  const status = Number(query.get('status') ?? 200);
  const delayMs = Number(query.get('delay_ms') ?? 0);
  return {
    status: Number.isInteger(status) && status >= 200 && status <= 599 ? status : 200,
    delayMs: delayMs > 0 && delayMs <= 60_000 ? delayMs : 0,
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > maxBodyBytes) throw new Error('the body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
