import type { RawObject } from '../kind.ts';
import type { Subject } from './diagnostics.ts';

/** What the core counts. The adapter to a metrics library is at the rim. */

/**
 * Why nothing was published, nearest to the source first:
 *
 * - `unit`: a file (or API object) was looked at again, and its content is the same (a resync, a
 *   touch);
 * - `object`: the content changed around an object, or in fields that nothing reads (status);
 * - `event`: the object changed, and its events have the same bytes (an annotation, the order of
 *   keys);
 * - `log`: the log holds these bytes already (a restart).
 */
export type Silence = 'unit' | 'object' | 'event' | 'log';

export interface Counters {
  /** `kind`: of the object (`VirtualService`); `File` where there is none. */
  suppressed(silence: Silence, kind: string, count: number): void;
  /** `kind`: of the object, as above. */
  published(kind: string, operation: 'upsert' | 'tombstone'): void;
  /** An object came, changed or went in a source, for whatever reason. */
  seen(subject: Pick<Subject, 'group' | 'kind'>, event: 'add' | 'update' | 'delete'): void;
  /** A version of an object was accepted. */
  accepted(raw: Pick<RawObject, 'apiVersion' | 'kind'>): void;
  /** A version was refused, or its kind. */
  refused(raw: Pick<RawObject, 'apiVersion' | 'kind'>, why: 'invalid' | 'unknown'): void;
  /** An append failed and is tried again. */
  retried(): void;
}

/** For who does not count. */
export const noCounters: Counters = {
  suppressed: () => undefined,
  published: () => undefined,
  seen: () => undefined,
  accepted: () => undefined,
  refused: () => undefined,
  retried: () => undefined,
};
