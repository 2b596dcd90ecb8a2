/** What is parsed of a file, and how much of it. */

export interface ParseLimits {
  readonly fileBytes: number;
  /**
   * Characters of one document: parsing one cannot be interrupted, and takes about 1 s per million
   * (large ones of a file have a thread, see `aside.ts`).
   */
  readonly documentChars: number;
  readonly documents: number;
  /** Levels of nesting. */
  readonly depth: number;
  /** How many times the aliases of a document may repeat what they stand for, in all. */
  readonly aliases: number;
  /** Values in one document, before and after aliases are expanded. */
  readonly values: number;
}

export const defaultLimits: ParseLimits = {
  fileBytes: 10 * 1024 * 1024,
  documentChars: 4 * 1024 * 1024,
  documents: 50_000,
  depth: 64,
  aliases: 1_000,
  values: 250_000,
};

/** The parsed content of one document, and the line (from 1) where it starts. */
export interface ParsedDocument {
  readonly line: number;
  readonly value: unknown;
  /** The line of each item of a top-level `items` list. */
  readonly itemLines: readonly number[];
}
