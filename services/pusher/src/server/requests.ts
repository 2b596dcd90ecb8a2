/** What a request must be, and how one that is not is refused. */
import { acceptedEncodings, type Encoding } from './compression.ts';
import type { RequestHead } from './grpc-call.ts';
import { deadlinePassed, status, type Method, type ServerLimits, type Status } from './port.ts';

export type Verdict =
  | { readonly call: Method; readonly timeoutMs: number | undefined }
  /** By a status of HTTP: it is no gRPC. */
  | { readonly http: number; readonly headers: Readonly<Record<string, string>> }
  | { readonly grpc: Status };

export interface Request extends RequestHead {
  readonly method: string;
  /** Of the header list, as RFC 9113 counts (6.5.2). */
  readonly headerBytes: number;
}

/**
 * A media type is so in any case (RFC 9110, 8.3.1). Behind `+` a codec is named, and protobuf is
 * the one there is: grpc-go takes what has another one for protobuf, and says that it will cease
 * to.
 */
const isGrpc = /^application\/grpc(?:\+proto)?[ \t]*(?:;|$)/iu;

export function judge(
  request: Request,
  methods: ReadonlyMap<string, Method>,
  { maxHeaderBytes }: Pick<ServerLimits, 'maxHeaderBytes'>,
): Verdict {
  if (request.headerBytes > maxHeaderBytes) return { http: 431, headers: {} };
  if (request.method !== 'POST') return { http: 405, headers: { allow: 'POST' } };
  if (!isGrpc.test(request.header('content-type') ?? '')) return { http: 415, headers: {} };
  const call = methods.get(request.path);
  if (call === undefined) {
    return { grpc: { code: status.unimplemented, message: `no method ${request.path}` } };
  }
  const timeoutMs = parseTimeout(request.header('grpc-timeout'));
  // Nobody would wait for the answer: no work is done for it, as in grpc-go.
  if (timeoutMs !== undefined && timeoutMs < passedMs) return { grpc: deadlinePassed };
  return Number.isNaN(timeoutMs)
    ? { grpc: { code: status.internal, message: 'malformed grpc-timeout' } }
    : { call, timeoutMs };
}

/** What has gone by until a request is read. */
const passedMs = 1e-3;

/** Headers of a response. Trailers-Only: with those of its status. */
export function responseHeaders(encoding: Encoding | undefined): Record<string, string> {
  return {
    ':status': '200',
    'content-type': 'application/grpc',
    'grpc-accept-encoding': acceptedEncodings,
    ...(encoding === undefined ? {} : { 'grpc-encoding': encoding }),
  };
}

export function trailersOf({ code, message }: Status): Record<string, string> {
  const trailers: Record<string, string> = { 'grpc-status': String(code) };
  if (message !== '') trailers['grpc-message'] = percentEncode(message);
  return trailers;
}

const maxMessageLength = 1_024;

/** gRPC's Percent-Encoded: all but printable ASCII, and `%` itself. */
function percentEncode(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text.slice(0, maxMessageLength))) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** `grpc-timeout` in ms; `undefined`: none. NaN: malformed. */
function parseTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/u.exec(text);
  return match === null ? Number.NaN : Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN);
}
