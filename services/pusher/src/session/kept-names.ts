/** What a name that is kept takes beside its characters: measured on streams of 100,000. */
export const bytesPerName = 192;

/** What a stream takes without its names; measured, with a connection of its own. */
export const bytesPerStream = 16 * 1024;

/** Of a stream: so little is taken to be part of that, and not counted. */
const freeBytes = 16 * 1024;

/** Names that are kept, in a list or set that all who have equal ones share. */
export interface Cost {
  readonly bytes: number;
}

export const noCost: readonly Cost[] = [];

export interface KeptLimits {
  /** Of names, for one connection. Default 128 MiB. */
  readonly maxNameBytes: number;
  /** Of streams and their names, for one identity. Default none; a pusher's: half of its heap. */
  readonly maxIdentityBytes: number;
}

/** A stream's client, as both ends know it. */
export interface Client {
  readonly address: string;
  readonly port: number;
  /** Who it was verified to be; or its address. Proxies of one Deployment have one. */
  readonly identity: string;
}

/**
 * Both without as many as are the same at the beginning and at the end: mostly one type of a stream
 * changed, or one came to those that it has.
 */
function differing(
  before: readonly Cost[],
  now: readonly Cost[],
): readonly [before: readonly Cost[], now: readonly Cost[]] {
  const shorter = Math.min(before.length, now.length);
  let from = 0;
  while (from < shorter && before[from] === now[from]) from++;
  let behind = 0;
  while (behind < shorter - from && before.at(-1 - behind) === now.at(-1 - behind)) behind++;
  return [before.slice(from, before.length - behind), now.slice(from, now.length - behind)];
}

/** What of several streams is counted together. */
class Account {
  bytes = 0;
  /** By how many of its streams each is kept. */
  readonly #costs = new Map<Cost, number>();

  change(before: readonly Cost[], now: readonly Cost[]): void {
    for (const cost of now) this.#count(cost, 1);
    for (const cost of before) this.#count(cost, -1);
  }

  #count(cost: Cost, more: 1 | -1): void {
    const before = this.#costs.get(cost) ?? 0;
    const now = before + more;
    if (now === 0) this.#costs.delete(cost);
    else this.#costs.set(cost, now);
    if (before === 0) this.bytes += cost.bytes;
    if (now === 0) this.bytes -= cost.bytes;
  }
}

/**
 * What clients make this process keep: the names of each connection's streams together, because a
 * limit for each stream alone would be a hundred times that for one client; and the streams and
 * names of each identity, because who may connect once may do so any number of times. What several
 * streams have in common is counted once, because it is held once: a connection may be a gateway's,
 * with streams of many proxies, and thousands of proxies with one identity name the same.
 */
export class KeptNames {
  readonly #limits: KeptLimits;
  /** Those with a stream that keeps more than is free. */
  readonly #connections = new Map<string, Account>();
  /** Those with a stream. */
  readonly #identities = new Map<string, Account>();

  constructor(limits: KeptLimits) {
    this.#limits = limits;
  }

  /** How many connections are counted. */
  get connections(): number {
    return this.#connections.size;
  }

  /** What is kept for the identity for which that is most. */
  get most(): number {
    let most = 0;
    for (const { bytes } of this.#identities.values()) most = Math.max(most, bytes);
    return most;
  }

  /** A stream is there. Gives what is too much, if anything is. */
  open({ identity }: Client): string | undefined {
    const account = accountOf(this.#identities, identity);
    account.bytes += bytesPerStream;
    return this.#excess(identity, account);
  }

  /** It is gone, and has kept nothing any more. */
  close({ identity }: Client): void {
    accountOf(this.#identities, identity).bytes -= bytesPerStream;
    settle(this.#identities, identity);
  }

  /** A stream keeps `now`, where it kept `before`. Gives what is too much, if anything is. */
  change(client: Client, before: readonly Cost[], now: readonly Cost[]): string | undefined {
    const [less, more] = differing(before, now);
    if (less.length + more.length === 0) return undefined;
    const key = `${client.address}|${client.port}`;
    const ofConnection = accountOf(this.#connections, key);
    const ofIdentity = accountOf(this.#identities, client.identity);
    ofConnection.change(less, more);
    ofIdentity.change(less, more);
    settle(this.#connections, key);
    const { maxNameBytes } = this.#limits;
    if (ofConnection.bytes <= maxNameBytes) return this.#excess(client.identity, ofIdentity);
    return `more than ${maxNameBytes} bytes of names on one connection`;
  }

  #excess(identity: string, { bytes }: Account): string | undefined {
    const { maxIdentityBytes } = this.#limits;
    if (bytes <= maxIdentityBytes) return undefined;
    return `more than ${maxIdentityBytes} bytes of streams and names of ${identity}`;
  }
}

function accountOf(accounts: Map<string, Account>, key: string): Account {
  const known = accounts.get(key);
  if (known !== undefined) return known;
  const account = new Account();
  accounts.set(key, account);
  return account;
}

function settle(accounts: Map<string, Account>, key: string): void {
  if (accounts.get(key)?.bytes === 0) accounts.delete(key);
}

/** What a stream is counted for, of all its types. */
export function countedOf(types: readonly { readonly kept: readonly Cost[] }[]): readonly Cost[] {
  const kept: Cost[] = [];
  let bytes = 0;
  for (const type of types) {
    for (const cost of type.kept) {
      kept.push(cost);
      bytes += cost.bytes;
    }
  }
  // A copy has no room for more.
  return bytes > freeBytes ? kept.slice() : noCost;
}
