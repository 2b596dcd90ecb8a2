/**
 * Writer epochs: what makes "the last append of a key" safe when writers change hands.
 *
 * A _domain_ is all keys of one partition that begin with a prefix (the empty one: the whole
 * partition). Its owner announces itself with a _claim_, a record in the same partition under a key
 * of its own. The claim's offset is the owner's epoch: claims and data are in one total order, with
 * no clock and no lease. The owner stamps what it appends with its epoch. A record is _void_ if a
 * claim of a domain that its key is in lies between its epoch and itself: its writer was not the
 * owner any more.
 * Readers ignore void records (`fold.ts`). So is one whose epoch is not below its own offset: it is
 * of an owner of before the log was restored from an old copy. (Where the log has grown beyond that
 * epoch since, readers believe it, and the owner claims anew. Where a claim stands at that very
 * offset again, they believe it too: the stamp tells the owner, who repairs it.)
 *
 * Compaction keeps last appends and so may keep a void record and drop the valid one before it.
 * Hence the owner appends its current value (or tombstone) again after every void record
 * (`owned.ts`), and claims are tombstoned only by a successor that has done so for all that was
 * void before its own claim. Where the last append of each key is valid, every reader arrives at
 * the same values: those who saw it all, those who read the compacted rest, and those who never saw
 * an older claim.
 *
 * A domain can be taken out of one that was wider: who claims a part of a partition takes that part
 * over from who owned all of it, and fences it. (Ingesters did own all, before a log had several.)
 * The wider claim stays, for it may tell what is void in other parts. Nobody claims back what is
 * divided: who tries is fenced by the parts' claims.
 *
 * Limits. A claim must not be on the log twice, as after a request that is sent again to a broker
 * that does not know it: compaction keeps the later one, and what was void between them is valid to
 * new readers. Domains that are told by different parts must not share a partition: their owners
 * fence each other. Between a void append and its repair a _new_ reader may lack the key; it never
 * has the void value if it can see the claim. A reader that goes on from a position needs the
 * epochs that it knew there (`Fold.state` has them), or it may apply a void value until the repair
 * arrives. A fenced owner can append until it reads the newer claim; all of that is void.
 */
import type { LogRecord } from './port.ts';

/**
 * Which keys one owner has: those whose `part`-th part (from 0) is `value`. Absent: all of the
 * partition.
 */
export interface Domain {
  readonly part: number;
  readonly value: string;
}

const claimKeyPrefix = '!owner|';
const domainHeader = 'domain';
const writerHeader = 'writer';

/** On every record of an owner: its epoch and, if its domain is not the partition, `/` and the part. */
export const epochHeader = 'epoch';
/** Beside it: which claim that was, by the first letters of its id. */
export const claimHeader = 'claim';
const claimLetters = 8;

export interface Claim {
  readonly key: string;
  /** See `domainId`. */
  readonly domain: string;
  readonly writer: string;
}

/** No key of data begins like this. */
export function isClaimKey(key: string): boolean {
  return key.startsWith(claimKeyPrefix);
}

/** One text per domain: `` for the partition, else `part|value`. */
export function domainId(domain: Domain | undefined): string {
  return domain === undefined ? '' : `${domain.part}|${domain.value}`;
}

export function isInDomain(key: string, domain: Domain | undefined): boolean {
  return domain === undefined || partOf(key, domain.part) === domain.value;
}

/** Whether all keys of the one domain are the other's too; by `domainId`. */
export function contains(outer: string, inner: string): boolean {
  return outer === '' || outer === inner;
}

/** Domains told by different parts may share keys; told by the same part they are equal or disjoint. */
export function overlap(a: string, b: string): boolean {
  return a === b || a.slice(0, a.indexOf('|')) !== b.slice(0, b.indexOf('|'));
}

function idByPart(key: string, part: number): string {
  return `${part}|${partOf(key, part)}`;
}

/** Empty if the key has fewer parts. */
function partOf(key: string, part: number): string {
  let from = 0;
  for (let skipped = 0; skipped < part; skipped++) {
    const next = key.indexOf('|', from);
    if (next === -1) return '';
    from = next + 1;
  }
  const to = key.indexOf('|', from);
  return to === -1 ? key.slice(from) : key.slice(from, to);
}

export function encodeClaim(
  id: string,
  domain: Domain | undefined,
  writer: string,
): { key: string; value: Uint8Array; headers: Record<string, string> } {
  return {
    key: claimKeyPrefix + id,
    value: new Uint8Array(0),
    headers: { [domainHeader]: domainId(domain), [writerHeader]: writer },
  };
}

/** `undefined`: not a claim, or one that was released. */
export function decodeClaim({ key, value, headers }: LogRecord): Claim | undefined {
  if (value === undefined || !isClaimKey(key)) return undefined;
  return { key, domain: headers[domainHeader] ?? '', writer: headers[writerHeader] ?? '' };
}

export function encodeEpoch(epoch: number, domain: Domain | undefined): string {
  return domain === undefined ? String(epoch) : `${epoch}/${domain.part}`;
}

/** An owner's mark on all that it appends after one claim of its. */
export interface Stamp {
  readonly epoch: number;
  readonly headers: { readonly [epochHeader]: string; readonly [claimHeader]: string };
}

export function stampOf({ key }: Claim, epoch: number, domain: Domain | undefined): Stamp {
  const claim = key.slice(claimKeyPrefix.length, claimKeyPrefix.length + claimLetters);
  return { epoch, headers: { [epochHeader]: encodeEpoch(epoch, domain), [claimHeader]: claim } };
}

export function isStamped({ headers: given }: LogRecord, { headers }: Stamp): boolean {
  return given[epochHeader] === headers[epochHeader] && given[claimHeader] === headers[claimHeader];
}

interface Epoch {
  readonly epoch: number;
  readonly part: number | undefined;
}

export function decodeEpoch(header: string | undefined): Epoch | undefined {
  const match = header === undefined ? null : /^(\d{1,16})(?:\/(\d{1,3}))?$/.exec(header);
  if (match === null) return undefined;
  return { epoch: Number(match[1]), part: match[2] === undefined ? undefined : Number(match[2]) };
}

/** The epochs of one partition, as a reader in offset order knows them. */
export class Epochs {
  /** Domain → the newest epoch seen, in a claim or on a record. */
  readonly #newest = new Map<string, number>();
  /** By which parts of a key domains are told; few. */
  readonly #parts = new Set<number>();
  #lastHeader = '';
  #lastEpoch: Epoch | undefined;

  constructor(known: Iterable<readonly [domain: string, epoch: number]> = []) {
    for (const [domain, epoch] of known) this.#note(domain, epoch);
  }

  /** Takes note of the record; call it for each, in order. */
  judge(record: LogRecord): 'claim' | 'valid' | 'void' {
    if (isClaimKey(record.key)) {
      const claim = decodeClaim(record);
      if (claim !== undefined) this.#note(claim.domain, record.offset);
      return 'claim';
    }
    const of = this.#decode(record.headers[epochHeader]);
    const newest = this.#newestOf(record.key);
    if (of === undefined) return newest < 0 ? 'valid' : 'void';
    // Its claim lies before every record of an owner, unless the log has lost it since.
    if (of.epoch >= record.offset || of.epoch < newest) return 'void';
    this.#note(of.part === undefined ? '' : idByPart(record.key, of.part), of.epoch);
    return 'valid';
  }

  entries(): readonly (readonly [domain: string, epoch: number])[] {
    return [...this.#newest];
  }

  #note(domain: string, epoch: number): void {
    if (epoch <= (this.#newest.get(domain) ?? -1)) return;
    this.#newest.set(domain, epoch);
    if (domain !== '') this.#parts.add(Number.parseInt(domain, 10));
  }

  /** Of all domains that the key is in; -1: it has no owner. */
  #newestOf(key: string): number {
    let newest = this.#newest.get('') ?? -1;
    for (const part of this.#parts) {
      newest = Math.max(newest, this.#newest.get(idByPart(key, part)) ?? -1);
    }
    return newest;
  }

  #decode(header: string | undefined): Epoch | undefined {
    if (header === undefined) return undefined;
    if (header !== this.#lastHeader) {
      this.#lastHeader = header;
      this.#lastEpoch = decodeEpoch(header);
    }
    return this.#lastEpoch;
  }
}

/** Equal values are never appended, nor told to anybody, twice. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0;
}
