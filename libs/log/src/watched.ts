/** A log whose calls are watched: who waits too long for one is told so, and why. */
import { isRetriable, LogError } from './port.ts';
import type { Append, Log, Position, ReadBatch, ReadOptions, TopicSpec } from './port.ts';
import type { LogTime } from './time.ts';

/** Is told how the log does, again and again. */
export interface Health {
  /** `sinceMs`: when what does not come was asked for. */
  failed(error: unknown, sinceMs?: number): void;
  worked(): void;
}

export interface WatchOptions {
  readonly time: LogTime;
  readonly health: Health;
  /**
   * How long a reader that has read all may hear nothing. Default: for ever, as an embedded log has
   * nothing to say where nothing changes.
   */
  readonly readWaitMs?: number;
}

type Call = 'append' | 'end' | 'read';

/** What takes longer is not there. A leader that moves takes as long, now and then. */
const silentMs = 3_000;
/** The last of it: a process that stood still looks at what has come meanwhile first. */
const lookMs = 500;
/** What is not tried again for so long is wanted no more. */
const givenUpMs = 10_000;

export class LogWatch {
  readonly #options: WatchOptions;
  /** What is waited for too long. */
  readonly #late = new Set<symbol>();
  /** Failed last time. */
  readonly #failed = new Set<Call>();
  /** Is refused, while others work: rights are by topic. When it was last. */
  readonly #refused = new Map<string, number>();
  #hasWorked = false;
  /** Why an adapter made a call again last. */
  #reason: { readonly error: LogError; readonly atMs: number } | undefined;
  #closing = false;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** For adapters that try again by themselves. */
  readonly retried = (error: LogError): void => {
    this.#reason = { error, atMs: this.#options.time.now() };
    if (this.#late.size > 0) this.#tell(error);
  };

  over(log: Log): Log {
    return new WatchedLog(log, this);
  }

  /** `isHeard`: whether what came was of the log. */
  async during<T>(
    call: Call,
    what: string,
    promise: Promise<T>,
    isHeard: (result: T) => boolean = () => true,
  ): Promise<T> {
    const { time, readWaitMs } = this.#options;
    const sinceMs = time.now();
    const id = Symbol(what);
    const look = (): void => {
      timer = time.after(lookMs, late);
    };
    const late = (): void => {
      this.#late.add(id);
      this.#tell(this.#recentReason ?? unanswered(what), sinceMs);
    };
    const mayTakeMs = call === 'read' ? readWaitMs : 0;
    let timer =
      mayTakeMs === undefined ? undefined : time.after(mayTakeMs + silentMs - lookMs, look);
    try {
      const result = await promise;
      this.#late.delete(id);
      if (isHeard(result)) this.#worked(call, what);
      return result;
    } catch (error) {
      if (isRetriable(error) || (call === 'read' && !isClosed(error))) {
        if (isRefusal(error)) this.#refused.set(what, time.now());
        else this.#failed.add(call);
        this.#tell(error, sinceMs);
      }
      throw error;
    } finally {
      timer?.cancel();
      this.#late.delete(id);
    }
  }

  /** That another call works meanwhile does not take it back: rights are by topic. */
  get #recentReason(): LogError | undefined {
    const { error, atMs = 0 } = this.#reason ?? {};
    return this.#options.time.now() - atMs <= silentMs ? error : undefined;
  }

  get #isRefusing(): boolean {
    const nowMs = this.#options.time.now();
    for (const atMs of this.#refused.values()) if (nowMs - atMs <= givenUpMs) return true;
    return false;
  }

  /** What is cut off then says nothing of the log. */
  closing(): void {
    this.#closing = true;
  }

  #worked(call: Call, what: string): void {
    this.#failed.delete(call);
    this.#refused.delete(what);
    if (this.#late.size > 0 || this.#failed.size > 0 || this.#closing) return;
    // Once it is known to be there, it does not come and go with each try of what is refused.
    if (this.#hasWorked && this.#isRefusing) return;
    this.#hasWorked = true;
    this.#options.health.worked();
  }

  #tell(error: unknown, sinceMs?: number): void {
    if (!this.#closing) this.#options.health.failed(error, sinceMs);
  }
}

/** Of what was asked for alone, and not as the log is away. */
function isRefusal(error: unknown): boolean {
  return error instanceof LogError && (error.code === 'not-allowed' || !error.retriable);
}

function isClosed(error: unknown): boolean {
  return error instanceof LogError && error.code === 'closed';
}

function unanswered(what: string): LogError {
  return new LogError('unavailable', `no answer to: ${what}`, { retriable: true });
}

function isBatch({ done }: IteratorResult<ReadBatch, unknown>): boolean {
  return done !== true;
}

class WatchedLog implements Log {
  readonly #log: Log;
  readonly #watch: LogWatch;

  constructor(log: Log, watch: LogWatch) {
    this.#log = log;
    this.#watch = watch;
  }

  ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    return this.#log.ensureTopics(specs);
  }

  append(records: readonly Append[]): Promise<readonly number[]> {
    const [first] = records;
    const what = `append to ${first?.topic}/${first?.partition}`;
    return this.#watch.during('append', what, this.#log.append(records));
  }

  async *read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
    options?: ReadOptions,
  ): AsyncGenerator<ReadBatch, void, void> {
    const batches = this.#log.read(topic, partition, from, signal, options);
    const reading = batches[Symbol.asyncIterator]();
    const what = `read ${topic}/${partition}`;
    try {
      for (;;) {
        const next = await this.#watch.during('read', what, reading.next(), isBatch);
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await reading.return?.();
    }
  }

  end(topic: string, partition: number): Promise<Position> {
    const what = `find the end of ${topic}/${partition}`;
    return this.#watch.during('end', what, this.#log.end(topic, partition));
  }

  async close(): Promise<void> {
    this.#watch.closing();
    await this.#log.close();
  }
}
