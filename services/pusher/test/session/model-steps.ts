import type { Content } from './support.ts';

/**
 * It comes to a replica that has just started, and lacks some of what it has. `isKnown`: by name;
 * `isOld`: it has what its disk had, the first there was; `remembers`: it knows what there was
 * before; `rests`: all that it has is said before the rest comes.
 */
export interface Part {
  readonly kind: 'part';
  readonly lacks: readonly (readonly [typeUrl: string, name: string])[];
  readonly isKnown: boolean;
  readonly isOld: boolean;
  readonly remembers: boolean;
  readonly rests: boolean;
}

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
  | Part
  /** `late`: the other replica hears of it later. */
  | { readonly kind: 'cut'; readonly content: Content; readonly late: boolean };
