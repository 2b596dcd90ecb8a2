import { request as httpRequest, type Agent } from 'node:http';
import { connect } from 'node:http2';
import type { Echo } from 'xdsctl/components/backend.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Ask {
  readonly port: number;
  readonly path?: string;
  readonly method?: string;
  /** The `Host` header (`:authority`). */
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Keeps connections, if given. */
  readonly agent?: Agent;
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 10_000;

/** One HTTP/1.1 request to 127.0.0.1. */
export function ask(options: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = httpRequest(
      {
        host: '127.0.0.1',
        port: options.port,
        path: options.path ?? '/',
        method: options.method ?? 'GET',
        agent: options.agent ?? false,
        timeout: options.timeoutMs ?? defaultTimeoutMs,
        headers: {
          ...(options.authority === undefined ? {} : { host: options.authority }),
          ...options.headers,
        },
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: flat(response.headers), body }),
        );
      },
    );
    call.once('timeout', () => call.destroy(new Error('no answer in time')));
    call.once('error', reject);
    call.end(options.body);
  });
}

/** The name of the sample backend that answered, or the status if none did. */
export function answeredBy(answer: Answer): string {
  return answer.status === 200 ? echoOf(answer).name : String(answer.status);
}

/** What a sample backend said; fails if the answer is not one of theirs. */
export function echoOf(answer: Answer): Echo {
  if (answer.headers['x-backend'] === undefined) {
    throw new Error(`not from a backend: ${answer.status} ${answer.body}`);
  }
  return JSON.parse(answer.body) as Echo;
}

export interface CallAnswer extends Answer {
  /** `grpc-status`, from the trailers or, without a body, from the headers. */
  readonly grpcStatus: string | undefined;
}

/**
 * One HTTP/2 request with prior knowledge to 127.0.0.1; `grpc` frames the body and reads the
 * trailers.
 */
export function askHttp2(options: Omit<Ask, 'agent'> & { grpc?: boolean }): Promise<CallAnswer> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${options.port}`);
    const fail = (error: Error): void => {
      session.destroy();
      reject(error);
    };
    session.once('error', fail);
    session.setTimeout(options.timeoutMs ?? defaultTimeoutMs, () => fail(new Error('no answer')));
    const grpc = options.grpc === true;
    const stream = session.request({
      ':method': options.method ?? (grpc ? 'POST' : 'GET'),
      ':path': options.path ?? '/',
      ...(options.authority === undefined ? {} : { ':authority': options.authority }),
      ...(grpc ? { 'content-type': 'application/grpc', te: 'trailers' } : {}),
      ...options.headers,
    });
    let headers: Record<string, string> = {};
    let trailers: Record<string, string> = {};
    const chunks: Buffer[] = [];
    stream.once('response', (received) => {
      headers = flat(received);
    });
    stream.once('trailers', (received) => {
      trailers = flat(received);
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('error', fail);
    stream.once('end', () => {
      session.close();
      const body = Buffer.concat(chunks)
        .subarray(grpc ? 5 : 0)
        .toString('utf8');
      const grpcStatus = trailers['grpc-status'] ?? headers['grpc-status'];
      resolve({ status: Number(headers[':status'] ?? 0), headers, body, grpcStatus });
    });
    stream.end(grpc ? frameOf(options.body ?? '') : options.body);
  });
}

function frameOf(text: string): Buffer {
  const message = Buffer.from(text);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function flat(headers: object): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) found[name] = Array.isArray(value) ? value.join(', ') : String(value);
  }
  return found;
}
