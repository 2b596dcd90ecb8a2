import type { Exit } from './child.ts';

/** A process of a set, which may end, and may be started again. */
export interface ClusterProcess {
  /** Unique in its set: `translator-1`. */
  readonly name: string;
  /** -1: it was never started. */
  readonly pid: number;
  /** Takes its output. */
  readonly logFile: string;
  /** Of the process that runs, or ran last: settles when it has ended, however it ended. */
  readonly ended: Promise<Exit>;
  /** Again at the same ports, on what it had. */
  start(): void | Promise<void>;
}
