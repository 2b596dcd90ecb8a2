/** What the processes of the fan-out benchmark say to each other. */

export interface ClientOrder {
  readonly port: number;
  /** The first stream's number. */
  readonly from: number;
  readonly count: number;
}

export type ClientReport =
  | { readonly kind: 'open' }
  | { readonly kind: 'acked'; readonly count: number };

export interface ServerSetup {
  readonly transport: 'http2' | 'grpc-js';
  /** Of the one resource. */
  readonly bytes: number;
}

export type ServerOrder =
  | { readonly kind: 'setup'; readonly setup: ServerSetup }
  /** `collect`: garbage first, for sizes; not for times. */
  | { readonly kind: 'measure'; readonly collect: boolean }
  | { readonly kind: 'change' };

export type ServerReport =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'changed' }
  | {
      readonly kind: 'measured';
      readonly rssBytes: number;
      /** Since the start. */
      readonly cpuUs: number;
      readonly encodings: number;
      /** The longest time for which the event loop did not turn since the last measuring. */
      readonly stallMs: number;
    };

/** All clients are of one scope. */
export function nodeIdOf(index: number): string {
  return `sidecar~10.0.0.1~p-${index}.bench~bench.svc.cluster.local`;
}
