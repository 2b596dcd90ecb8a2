import type { Content } from './support.ts';

/** What may happen next to a client and its replicas. */
export type Step =
  | {
      readonly kind:
        | ('request' | 'write' | 'response' | 'start' | 'reconnect' | 'follow' | 'rest')
        | ('stale' | 'catchUp' | 'everything');
    }
  | { readonly kind: 'routes'; readonly names: readonly string[] }
  /** The stream breaks as the client warms what the first brings, and it comes back to the second. */
  | { readonly kind: 'broken'; readonly contents: readonly [Content, Content] }
  /** `late`: the other replica hears of it later. */
  | { readonly kind: 'cut'; readonly content: Content; readonly late: boolean };
