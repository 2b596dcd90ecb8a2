/**
 * Parsing a large YAML document takes about 1 s per million characters and cannot be interrupted,
 * so it is done in a thread of its own; ingestion, and all else in the process, goes on meanwhile.
 */
import { Worker } from 'node:worker_threads';
import type { ParsedChunk } from './documents.ts';
import type { ParseLimits } from './limits.ts';

export interface AsideRequest {
  readonly text: string;
  readonly limits: ParseLimits;
}

/** Of the thread: a document at the limits takes about half of it. */
const maxHeapMb = 1_024;

/** As `parseChunk`. A thread that fails (it has no memory left) is a problem of the document. */
export function parseAside(text: string, limits: ParseLimits): Promise<ParsedChunk> {
  return new Promise((resolve) => {
    const workerData: AsideRequest = { text, limits };
    const worker = new Worker(new URL('aside-worker.ts', import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    const fail = (reason: string): void => {
      resolve({ documents: [], problems: [{ line: 0, reason: `cannot be parsed: ${reason}` }] });
    };
    worker.once('message', (parsed: ParsedChunk) => resolve(parsed));
    worker.once('error', (error: unknown) =>
      fail(error instanceof Error ? error.message : String(error)),
    );
    worker.once('exit', (code) => fail(`its thread ended with ${code}`));
  });
}
