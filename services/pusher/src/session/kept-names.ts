/** What a name that is kept takes beside its characters: measured on streams of 100,000. */
export const bytesPerName = 192;

/** Of a stream: so little is not counted, so that thousands of small streams cost nothing here. */
const freeBytes = 64 * 1024;

/** Names that are kept, in a list or set that all who have equal ones share. */
export interface Cost {
  readonly bytes: number;
}

export const noCost: readonly Cost[] = [];

/** Whose streams are counted together: both ends know a connection by it. */
interface Connection {
  readonly address: string;
  readonly port: number;
}

interface Account {
  bytes: number;
  /** By how many of its streams each is kept. */
  readonly costs: Map<Cost, number>;
}

/**
 * What names clients make this process keep, each connection's streams together: a limit for each
 * stream alone would be a hundred times that for one client. What several streams of a connection
 * have in common is counted once, because it is held once: one may be of a gateway, and its streams
 * of many proxies.
 */
export class KeptNames {
  readonly #most: number;
  /** Those with a stream that keeps more than is free. */
  readonly #accounts = new Map<string, Account>();

  /** `most`: of one connection, in bytes. */
  constructor(most: number) {
    this.#most = most;
  }

  /** How many connections are counted. */
  get size(): number {
    return this.#accounts.size;
  }

  /** One of its streams keeps `now`, where it kept `before`. `false`: that is too much. */
  change(connection: Connection, before: readonly Cost[], now: readonly Cost[]): boolean {
    if (before.length + now.length === 0) return true;
    const key = `${connection.address}|${connection.port}`;
    const account = this.#accounts.get(key) ?? { bytes: 0, costs: new Map<Cost, number>() };
    for (const cost of now) count(account, cost, 1);
    for (const cost of before) count(account, cost, -1);
    if (account.costs.size === 0) this.#accounts.delete(key);
    else this.#accounts.set(key, account);
    return account.bytes <= this.#most;
  }
}

function count(account: Account, cost: Cost, more: 1 | -1): void {
  const { costs } = account;
  const before = costs.get(cost) ?? 0;
  const now = before + more;
  if (now === 0) costs.delete(cost);
  else costs.set(cost, now);
  if (before === 0) account.bytes += cost.bytes;
  if (now === 0) account.bytes -= cost.bytes;
}

/** What a stream is counted for, of all its types. */
export function countedOf(types: readonly { readonly kept: readonly Cost[] }[]): readonly Cost[] {
  const kept = types.flatMap((type) => type.kept);
  const bytes = kept.reduce((sum, cost) => sum + cost.bytes, 0);
  // A copy has no room for more.
  return bytes > freeBytes ? kept.slice() : noCost;
}
