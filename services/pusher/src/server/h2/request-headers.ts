import type { HeaderList } from './header-reader.ts';

/** Names and values in turn, as they came. */
export type Fields = readonly string[];

/** The fields of a request that is well-formed (RFC 9113, 8.2 and 8.3). */
export class RequestHeaders {
  readonly #fields: Fields;
  readonly method: string;
  readonly path: string;
  /** As counted against the limit of a header list; the fields of one that is over are not all here. */
  readonly headerBytes: number;
  /** By the `content-length`; -1: it is not told. NaN: it is no number. */
  readonly bodyBytes: number;

  constructor(fields: Fields, bytes: number) {
    this.#fields = fields;
    this.headerBytes = bytes;
    this.method = this.header(':method') ?? '';
    this.path = this.header(':path') ?? '';
    this.bodyBytes = bodyBytesOf(this.header('content-length'));
  }

  /** All values of a name as one. */
  header(name: string): string | undefined {
    let found: string | undefined;
    const fields = this.#fields;
    for (let at = 0; at < fields.length; at += 2) {
      if (fields[at] !== name) continue;
      const value = fields[at + 1] ?? '';
      found = found === undefined ? value : `${found}, ${value}`;
    }
    return found;
  }
}

const pseudo: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority']);
/** Of one connection, which HTTP/2 has other words for. */
const ofConnection: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
// Printable ASCII but for capitals and ':'.
const nameRule = /^[!-9;-@[-~]+$/u;
// oxlint-disable-next-line no-control-regex -- it is those that may not be there.
const valueRule = /^(?:[^\u0000\r\n \t](?:[^\u0000\r\n]*[^\u0000\r\n \t])?)?$/u;

const wrongValue = 'a value with characters that may not be there';

/**
 * `undefined`: the request is not. Of one over the limit, of which not all is here, it is not
 * asked.
 */
export function wellFormed(list: HeaderList, mostBytes: number): RequestHeaders | undefined {
  const { fields, bytes, endStream, dependsOnItself } = list;
  if (dependsOnItself) return undefined;
  if (bytes <= mostBytes && problemOf(fields) !== undefined) return undefined;
  const headers = new RequestHeaders(fields, bytes);
  const { bodyBytes } = headers;
  return Number.isNaN(bodyBytes) || (endStream && bodyBytes > 0) ? undefined : headers;
}

/** What is wrong with a request's fields; `undefined`: nothing. */
function problemOf(fields: Fields): string | undefined {
  const seen = new Set<string>();
  let regular = false;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    const value = fields[at + 1] ?? '';
    if (name.startsWith(':')) {
      if (regular) return 'a pseudo-header behind a header';
      if (!pseudo.has(name)) return 'an unknown pseudo-header';
      if (seen.has(name)) return 'a pseudo-header twice';
      if (name === ':path' && value === '') return 'an empty path';
      if (!valueRule.test(value)) return wrongValue;
      seen.add(name);
    } else {
      regular = true;
      const problem = problemOfHeader(name, value);
      if (problem !== undefined) return problem;
    }
  }
  for (const name of [':method', ':scheme', ':path']) if (!seen.has(name)) return `no ${name}`;
  return undefined;
}

/** Those that follow the body: nothing of them is used. */
export function problemOfTrailers(fields: Fields): string | undefined {
  for (let at = 0; at < fields.length; at += 2) {
    const problem = problemOfHeader(fields[at] ?? '', fields[at + 1] ?? '');
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function problemOfHeader(name: string, value: string): string | undefined {
  if (!nameRule.test(name)) return 'a name with characters that may not be there';
  if (ofConnection.has(name)) return `the header ${name}`;
  if (!valueRule.test(value)) return wrongValue;
  return name === 'te' && value !== 'trailers' ? 'te other than trailers' : undefined;
}

function bodyBytesOf(text: string | undefined): number {
  if (text === undefined) return -1;
  return /^\d{1,15}$/u.test(text) ? Number(text) : Number.NaN;
}
