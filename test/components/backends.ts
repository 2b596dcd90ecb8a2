import { once } from 'node:events';
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { wishOf, type Backend, type BackendOptions, type Echo } from 'xdsctl/components/backend.ts';

export { startBackend, type Backend } from 'xdsctl/components/backend.ts';

export interface Http2BackendOptions extends BackendOptions {
  /** Serves TLS with it (HTTP/1.1 as well, by ALPN); without it, HTTP/2 with prior knowledge. */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

/**
 * A sample backend that speaks HTTP/2, and gRPC on the same port: a request of content type
 * `application/grpc` is taken as a unary call of any method, and answered with an `Echo` as JSON in
 * one message. `wishOf` holds for plain requests; a call tells by its metadata what it wishes:
 * `x-grpc-status`, `x-delay-ms`, and `x-fail-tries`, so many of whose tries are UNAVAILABLE.
 */
export async function startHttp2Backend(options: Http2BackendOptions): Promise<Backend> {
  let requests = 0;
  const onRequest = (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    requests += 1;
    answer(options.name, request, response).catch(() => response.stream.close());
  };
  const sessions = new Set<ServerHttp2Session>();
  const server = listen(options, onRequest);
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
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
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

function listen(
  options: Http2BackendOptions,
  onRequest: (request: Http2ServerRequest, response: Http2ServerResponse) => void,
): Http2Server {
  if (options.tls === undefined) return createServer(onRequest);
  const { certificate, key } = options.tls;
  return createSecureServer({ cert: certificate, key, allowHTTP1: true }, onRequest);
}

async function answer(
  name: string,
  request: Http2ServerRequest,
  response: Http2ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (chunk instanceof Buffer) chunks.push(chunk);
  const received = Buffer.concat(chunks);
  const grpc = (request.headers['content-type'] ?? '').startsWith('application/grpc');
  const headers: Record<string, string> = {};
  for (const [key, value] of Object.entries(request.headers)) {
    if (value === undefined || key.startsWith(':')) continue;
    headers[key] = Array.isArray(value) ? value.join(', ') : value;
  }
  const echo: Echo = {
    name,
    protocol: `HTTP/${request.httpVersion}`,
    method: request.method,
    path: request.url,
    authority: request.authority || (request.headers.host ?? ''),
    headers,
    body: (grpc ? received.subarray(framePrefixBytes) : received).toString('utf8'),
  };
  if (grpc) await answerCall(echo, response);
  else await answerRequest(echo, response);
}

async function answerRequest(echo: Echo, response: Http2ServerResponse): Promise<void> {
  const wish = wishOf(echo.path);
  if (wish.delayMs > 0) await sleep(wish.delayMs);
  response.writeHead(wish.status, { 'content-type': 'application/json', 'x-backend': echo.name });
  response.end(`${JSON.stringify(echo)}\n`);
}

/** A compression flag and a length of four bytes precede each gRPC message. */
const framePrefixBytes = 5;

async function answerCall(echo: Echo, response: Http2ServerResponse): Promise<void> {
  const { headers } = echo;
  const number = (name: string): number => Number(headers[name] ?? 0);
  if (number('x-delay-ms') > 0) await sleep(number('x-delay-ms'));
  if (number('grpc-previous-rpc-attempts') < number('x-fail-tries')) {
    // By trailers alone: what has begun to answer is not tried again.
    const refusal = { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' };
    response.stream.respond(refusal, { endStream: true });
    return;
  }
  const status = headers['x-grpc-status'] ?? '0';
  const message = Buffer.from(JSON.stringify(echo));
  const frame = Buffer.alloc(framePrefixBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, framePrefixBytes);
  response.writeHead(200, { 'content-type': 'application/grpc', 'x-backend': echo.name });
  response.addTrailers({ 'grpc-status': status });
  if (status === '0') response.write(frame);
  response.end();
}
