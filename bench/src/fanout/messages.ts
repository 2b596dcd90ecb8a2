/** What the processes of the fan-out benchmarks say to each other. */
import type { Mode } from '@watershed/pusher/session/request.ts';

/** To a process of clients. */
export type ClientOrder =
  | {
      readonly kind: 'open';
      readonly port: number;
      readonly mode: Mode;
      /** Where its sockets come from: 28,000 ports per pair of addresses. */
      readonly localAddress: string;
      /** The first stream's number. */
      readonly from: number;
      readonly count: number;
      /** Delta: comes with what the first stream of an earlier opening was sent. */
      readonly resume: boolean;
    }
  | { readonly kind: 'close' };

export type ClientReport =
  /** All streams have what is awaited: a response, or (resuming) the response's headers. */
  | { readonly kind: 'open' }
  | { readonly kind: 'acked'; readonly count: number }
  | { readonly kind: 'closed'; readonly resourceBytes: number };

/** To a server: a line of JSON. The first report is `ready`. */
export type ServerOrder =
  /** `collect`: garbage first, for sizes; not for times. */
  { readonly kind: 'measure'; readonly collect: boolean } | { readonly kind: 'change' };

export type ServerReport =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'changed' }
  | Measured;

export interface Measured {
  readonly kind: 'measured';
  readonly rssBytes: number;
  /** Since the start. */
  readonly cpuUs: number;
  /** ACKs that it has read, since the start. */
  readonly acked: number;
  /** What only our own server tells. */
  readonly own?: {
    readonly encodings: number;
    /** Streams that came back with versions and were told nothing. */
    readonly resumed: number;
    /** For how long the event loop did not turn, since the last change. */
    readonly stallP99Ms: number;
    readonly stallMaxMs: number;
  };
}

/** All clients are of one scope. */
export function nodeIdOf(index: number): string {
  return `sidecar~10.0.0.1~p-${index}.bench~bench.svc.cluster.local`;
}
