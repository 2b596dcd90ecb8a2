/** What the bench and its process of clients say to each other, and how an endpoint tells its age. */
export interface OpenOrder {
  readonly kind: 'open';
  readonly ports: readonly number[];
  /** Each stream asks for one of these assignments, in turn. */
  readonly names: readonly string[];
  /** The number of the first stream. */
  readonly first: number;
  readonly streams: number;
}

export type Order = OpenOrder | { readonly kind: 'mark' } | { readonly kind: 'report' };

export interface Report {
  readonly streams: number;
  /** ACKs since the mark. */
  readonly acked: number;
  /** Milliseconds from append to ACK, of a sample of them since the mark, ascending. */
  readonly latencies: readonly number[];
  /** By assignment: the stamp that all of its streams have reached, at least. */
  readonly reached: Readonly<Record<string, number>>;
}

/** Where a record that nobody but the bench knows is written, and where it is read. */
export interface BareWay {
  readonly to: string;
  readonly from: string;
}

export const bareWay: BareWay = { to: 'bare', from: 'bare' };
/** By way of a process that hands it on. */
export const relayWay: BareWay = { to: 'relay-in', from: 'relay-out' };

/** An assignment that the bench changes. */
export interface Target {
  readonly name: string;
  /** The last that was written. */
  stamp: number;
}

/** What the bench writes to. */
export interface Source<T extends Target> {
  readonly targets: readonly T[];
  /** One endpoint of each of these has another address, which says when it was written. */
  write(targets: readonly T[]): Promise<void>;
}

/** An IPv6 address that has a time in it: tenths of milliseconds. */
export function stampedAddress(stamp: number): string {
  const hex = stamp.toString(16).padStart(12, '0');
  return `fd00::1:${hex.slice(0, 4)}:${hex.slice(4, 8)}:${hex.slice(8)}`;
}

const mark = Buffer.from('fd00::1:');

/** The stamp of the address in a message; -1 where there is none. */
export function stampIn(bytes: Buffer, start: number, end: number): number {
  const at = bytes.indexOf(mark, start);
  if (at < 0 || at >= end) return -1;
  const from = at + mark.length;
  const text = bytes.toString('latin1', from, from + 14).replaceAll(':', '');
  return Number.parseInt(text.slice(0, 12), 16);
}

/** Of now; comparable between processes of one machine. */
export function stampNow(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 10) % 2 ** 48;
}

/** The value at a share of an ascending list. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
