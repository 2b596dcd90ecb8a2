import { LogError } from '../port.ts';

/** SQLite's primary result codes (https://sqlite.org/rescode.html). */
const BUSY = 5;
const NOMEM = 7;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

function resultCode(cause: unknown): number | undefined {
  if (typeof cause !== 'object' || cause === null || !('errcode' in cause)) return undefined;
  // The extended code has the primary one in its lowest byte.
  return typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined;
}

export function isBusy(cause: unknown): boolean {
  return resultCode(cause) === BUSY;
}

export function corrupt(file: string, what: string, cause?: unknown): LogError {
  return new LogError(
    'corrupt',
    `${file}: ${what}. Stop the process and move the file away (with ${file}-wal); the log starts empty ` +
      `then, sources publish their objects again, and everything downstream is rebuilt. ` +
      `To keep the history, put a backup of the file in its place instead.`,
    { retriable: false, cause },
  );
}

/**
 * What a failed call on the database means for the log's caller. A programmer's error stays what it
 * is.
 */
export function failure(file: string, what: string, cause: unknown): unknown {
  if (cause instanceof LogError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  switch (resultCode(cause)) {
    case FULL:
      return new LogError('unavailable', `${file}: no space left to ${what} (${message})`, {
        retriable: true,
        cause,
      });
    case BUSY:
    case NOMEM:
    case READONLY:
    case IOERR:
    case CANTOPEN:
      return new LogError('unavailable', `${file}: cannot ${what} (${message})`, {
        retriable: true,
        cause,
      });
    case CORRUPT:
    case NOTADB:
      return corrupt(file, `is damaged: cannot ${what} (${message})`, cause);
    default:
      return cause;
  }
}
