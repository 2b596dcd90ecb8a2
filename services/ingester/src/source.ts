/**
 * What the core asks of a source (files, an API server): all that one place holds, each time that
 * it changes.
 *
 *     Source ─► Sink.apply(batch) … ─► listed ─► Sink.apply(batch) …
 */
import type { RawObject } from './kind.ts';
import type { FileProblem } from './parse/file-problem.ts';
import type { LocatedObject } from './parse/objects.ts';

/**
 * All that one place (a file; an object of an API server) holds now; it replaces what it held
 * before.
 */
export interface UnitUpdate {
  /** A path. Of two objects with one identity, the one whose unit sorts first is used. */
  readonly unit: string;
  /** A digest of the content, or a resourceVersion. */
  readonly version: string;
  readonly objects: readonly LocatedObject[];
  /**
   * Parts that gave no object. Objects of the unit that are absent now may be in them: they stay.
   */
  readonly problems: readonly FileProblem[];
}

export interface SourceBatch {
  /** The source's name. */
  readonly source: string;
  /** Units that were added, changed or removed (then without objects). */
  readonly updates: readonly UnitUpdate[];
  /** Units that were looked at and had not changed. */
  readonly unchanged: number;
  /**
   * Why what the batch takes away may be an accident; it is then held, however little it is. The
   * first batches take away what the log has of the source, and they do not.
   */
  readonly suspect?: string;
}

export interface Sink {
  apply(batch: SourceBatch): void;
  /** Something is wrong with the source as a whole, or (without a reason) no longer. */
  trouble(source: string, reason: string | undefined): void;
}

/** What the log has of the objects of a source (by its name): their last good versions. */
export type Known = (source: string) => readonly RawObject[];

export interface Source {
  readonly name: string;
  /**
   * Hands all over once, then goes on in the background. Resolves when all was handed over: of what
   * cannot be read, that it cannot. A source that cannot be read at all, and of which nothing is
   * known, is waited for.
   */
  start(sink: Sink, known: Known): Promise<void>;
  stop(): Promise<void>;
}
