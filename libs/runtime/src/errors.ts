import { inspect } from 'node:util';

/**
 * The errors that operation brings: a wrong option, a peer that is gone, a deadline. A closed union
 * of codes, so that the rim can map each (to an exit status, a gRPC status, an HTTP status) and
 * none is forgotten. A programmer's error is no such thing: it is a plain `Error`, and it ends the
 * process.
 */
export type ErrorCode =
  /** An option's value, or an object of the user's, is refused. */
  | 'invalid'
  /** What was asked for does not exist. */
  | 'not-found'
  /** Something that must be exclusive is held by another. */
  | 'conflict'
  /** A stated bound was exceeded. */
  | 'too-large'
  /** The other side is gone; the same call may succeed later. */
  | 'unavailable'
  /** A deadline passed. */
  | 'timeout'
  /** The caller gave up. */
  | 'cancelled'
  /** The caller is not allowed to. */
  | 'denied'
  /** Bytes that were read are not what was written. */
  | 'corrupt'
  /** Anything that is not an operating error, at the rim. */
  | 'internal';

export class OperatingError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OperatingError';
    this.code = code;
  }
}

const codesOfNode: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ENETUNREACH: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EPIPE: 'unavailable',
  ETIMEDOUT: 'timeout',
  EADDRINUSE: 'conflict',
  EEXIST: 'conflict',
  ENOENT: 'not-found',
  EACCES: 'denied',
  EPERM: 'denied',
  ABORT_ERR: 'cancelled',
};

/** The one funnel from whatever was thrown to an operating error; the original stays its cause. */
export function toOperatingError(thrown: unknown): OperatingError {
  if (thrown instanceof OperatingError) return thrown;
  if (!(thrown instanceof Error)) return new OperatingError('internal', textOf(thrown));
  const code = 'code' in thrown ? codesOfNode[String(thrown.code)] : undefined;
  const named = thrown.name === 'AbortError' ? 'cancelled' : 'internal';
  return new OperatingError(code ?? named, thrown.message, { cause: thrown });
}

const maxCauses = 8;

/** One line: the message and those of its causes, nearest first; a chain is cut after eight. */
export function describeError(thrown: unknown): string {
  const messages: string[] = [];
  let current: unknown = thrown;
  for (let depth = 0; depth < maxCauses && current !== undefined; depth++) {
    const message = current instanceof Error ? current.message || current.name : textOf(current);
    if (messages.at(-1) !== message) messages.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return messages.join(': ');
}

function textOf(thrown: unknown): string {
  return typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 1, breakLength: Infinity });
}
