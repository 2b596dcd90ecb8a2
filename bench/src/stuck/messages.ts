/** What the processes of the benchmark say to each other. */
export type Order =
  | {
      readonly kind: 'open';
      readonly port: number;
      readonly localAddress: string;
      readonly count: number;
      readonly stuck: boolean;
    }
  /** Tell when so many messages came, as soon as they have. */
  | { readonly kind: 'await'; readonly arrivals: number };

export type Report =
  | { readonly kind: 'open' }
  /** By `process.hrtime`. */
  | { readonly kind: 'arrived'; readonly atNs: readonly number[] };
