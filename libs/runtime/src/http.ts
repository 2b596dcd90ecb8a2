import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { pagesByPath, textOf, type DebugPage, type DebugReply } from './debug-pages.ts';
import { formatAddress, isLoopback, listenOptions, parseAddress, type Address } from './address.ts';
import { describeError, OperatingError, toOperatingError, type ErrorCode } from './errors.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics.ts';
import type { Readiness } from './readiness.ts';

/**
 * Lets a caller from another machine see /debug by its `authorization` header, or throws an
 * `OperatingError` `denied`. Without it /debug answers callers on this machine only.
 */
export type DebugAccess = (authorization: string | undefined) => Promise<void>;

export interface MonitoringOptions {
  readonly address: Address;
  readonly version: string;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly pages: readonly DebugPage[];
  readonly debugAccess?: DebugAccess | undefined;
}

const maxHeaderBytes = 16 * 1024;
const maxBodyBytes = 1024 * 1024;
const maxConnections = 256;
const requestTimeoutMs = 30_000;

/** The server of /ready, /metrics, /version and /debug: small answers for operators and scrapers. */
export class MonitoringServer {
  readonly name = 'monitoring';
  readonly #options: MonitoringOptions;
  readonly #server: Server;
  readonly #pages: ReadonlyMap<string, DebugPage>;

  constructor(options: MonitoringOptions) {
    this.#options = options;
    this.#pages = pagesByPath(options.pages);
    this.#server = createServer(
      {
        maxHeaderSize: maxHeaderBytes,
        requestTimeout: requestTimeoutMs,
        headersTimeout: requestTimeoutMs,
        keepAliveTimeout: requestTimeoutMs,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = maxConnections;
    this.#server.on('clientError', (_error, socket) => closeBadly(socket));
  }

  /** Resolves when it listens. @throws OperatingError naming the address */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        const { code } = toOperatingError(error);
        const where = `--monitoringAddr ${formatAddress(this.#options.address)}`;
        reject(new OperatingError(code, `cannot listen on ${where}`, { cause: error }));
      };
      this.#server.once('error', fail);
      this.#server.listen(listenOptions(this.#options.address), () => {
        this.#server.off('error', fail);
        this.#server.on('error', (error) => {
          this.#options.logger.error('the monitoring server failed', { error });
        });
        resolve();
      });
    });
  }

  /** Where it listens: with the port that the system picked. */
  get address(): Address {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') throw new Error('it does not listen');
    return { host: this.#options.address.host, port: bound.port };
  }

  /** Lets answers that are under way end, until the signal aborts. */
  stop(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cut = (): void => this.#server.closeAllConnections();
      this.#server.close(() => {
        signal.removeEventListener('abort', cut);
        resolve();
      });
      this.#server.closeIdleConnections();
      if (signal.aborted) cut();
      else signal.addEventListener('abort', cut, { once: true });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response);
    } catch (error) {
      const { code } = toOperatingError(error);
      if (code === 'internal') {
        this.#options.logger.error('a debug page failed', { path: request.url, error });
      }
      if (response.headersSent) response.destroy();
      else send(response, statuses[code], `${describeError(error)}\n`);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { readiness, metrics, version } = this.#options;
    const url = urlOf(request);
    const method = request.method ?? 'GET';
    if (url.pathname === '/debug' || url.pathname.startsWith('/debug/')) {
      await this.#debug(url, method, request, response);
      return;
    }
    if (!isAllowed(method, url, reading, response)) return;
    switch (url.pathname) {
      case '/ready':
        sendReady(response, readiness);
        break;
      case '/metrics':
        send(response, 200, await metrics.text(), metrics.contentType);
        break;
      case '/version':
        sendReply(response, { version });
        break;
      case '/':
        send(response, 200, '/ready\n/metrics\n/version\n/debug\n');
        break;
      default:
        throw new OperatingError('not-found', `no ${url.pathname}; see /`);
    }
  }

  async #admit({ headers }: IncomingMessage): Promise<void> {
    const { debugAccess } = this.#options;
    if (debugAccess === undefined) {
      throw new OperatingError('denied', '/debug answers callers on this machine only');
    }
    await debugAccess(headers.authorization);
  }

  async #debug(
    url: URL,
    method: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (!isLocal(request)) await this.#admit(request);
    if (url.pathname === '/debug' || url.pathname === '/debug/') {
      if (!isAllowed(method, url, reading, response)) return;
      const lines = [...this.#pages.values()].map((page) => `${page.path}  ${page.doc}\n`);
      send(response, 200, lines.join(''));
      return;
    }
    const page = this.#pages.get(url.pathname);
    if (page === undefined) {
      throw new OperatingError('not-found', `no ${url.pathname}; /debug lists the pages`);
    }
    const allowed = page.method === 'POST' ? ['POST'] : reading;
    if (!isAllowed(method, url, allowed, response)) return;
    if (method === 'POST') mustNotBeAPage(request);
    const body = method === 'POST' ? await bodyOf(request) : '';
    sendReply(response, await page.handle({ method, query: url.searchParams, body }));
  }
}

const statuses: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  denied: 403,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  cancelled: 499,
  unavailable: 503,
  timeout: 504,
  corrupt: 500,
  internal: 500,
};

function urlOf(request: IncomingMessage): URL {
  const url = URL.parse(request.url ?? '/', 'http://monitoring');
  if (url === null) throw new OperatingError('invalid', 'not a path');
  return url;
}

/** Whoever has GET must have HEAD (RFC 9110, 9.1); node leaves the body out. */
const reading: readonly string[] = ['GET', 'HEAD'];

/** `false`: the caller was told what is. */
function isAllowed(
  method: string,
  { pathname }: URL,
  allowed: readonly string[],
  response: ServerResponse,
): boolean {
  if (allowed.includes(method)) return true;
  response.setHeader('allow', allowed.join(', '));
  send(response, 405, `${pathname} takes ${allowed.join(' and ')}, not ${method}\n`);
  return false;
}

/**
 * The caller's address decides, and its Host header must not be a name: a page in a browser on this
 * machine can reach loopback under a name of its own (DNS rebinding), but cannot lie about that
 * name.
 */
function isLocal(request: IncomingMessage): boolean {
  const from = request.socket.remoteAddress ?? '';
  const host = hostOf(request.headers.host ?? '');
  const named = host !== '' && host !== 'localhost' && isIP(host) === 0;
  return isLoopback(from) && !named;
}

function hostOf(header: string): string {
  return (parseAddress(header)?.host ?? header).replaceAll(/^\[|\]$/gu, '');
}

/** Browsers say where a POST comes from; a form on somebody's page must not change anything here. */
function mustNotBeAPage(request: IncomingMessage): void {
  if (request.headers.origin !== undefined) {
    throw new OperatingError('denied', 'not from a web page');
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > maxBodyBytes) throw new OperatingError('too-large', 'a body of over 1 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function sendReady(response: ServerResponse, { ready, missing, remarks }: Readiness): void {
  const waiting = missing.length === 0 ? '' : `: waiting for ${missing.join(', ')}`;
  const what = `${ready ? 'ready' : 'not ready'}${waiting}`;
  send(response, ready ? 200 : 503, `${[what, ...remarks].join('; ')}\n`);
}

function sendReply(response: ServerResponse, reply: DebugReply): void {
  const contentType = typeof reply === 'string' ? undefined : 'application/json';
  send(response, 200, textOf(reply), contentType);
}

function send(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

function closeBadly(socket: Duplex): void {
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
  else socket.destroy();
}
