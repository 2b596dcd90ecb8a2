/**
 * A log that may not be there yet. A process that starts while its log is away goes on with what it
 * has on its own disk, and takes part when the log comes.
 */
import { isRetriable, LogError } from './port.ts';
import type { Append, Log, Position, ReadBatch, ReadOptions, TopicSpec } from './port.ts';
import { pause } from './time.ts';
import type { LogTime } from './time.ts';
import type { Health } from './watched.ts';

export interface AwaitedLogOptions {
  /** Opens the log; fails as `Log` does. */
  readonly open: () => Promise<Log>;
  /** Created once it is open. */
  readonly topics: readonly TopicSpec[];
  readonly time: LogTime;
  /** Between two tries. Default 1 s. */
  readonly retryMs?: number;
  /** Told of each try that failed and may succeed later, and of the one that did. */
  readonly health: Health;
  /** Told when a later try fails for good. */
  readonly onFatal: (error: unknown) => void;
}

/** A broker that takes connections and says nothing holds up a try for a while. */
const firstTryMs = 3_000;

/**
 * Resolves after the first try, or after so long, with the log itself, or with one that stands in
 * for it until it can be opened: reads wait, all else fails as `unavailable`. Fails if the first
 * try fails for good by then.
 */
export async function openAwaited(options: AwaitedLogOptions): Promise<Log> {
  const { time, health } = options;
  const first = tryToOpen(options);
  const isOver = new AbortController();
  const slow = pause(time, firstTryMs, isOver.signal).then((): 'slow' => 'slow');
  try {
    const opened = await Promise.race([first, slow]);
    if (opened === 'slow') {
      const what = `no answer in ${firstTryMs / 1_000} s`;
      health.failed(new LogError('unavailable', what, { retriable: true }));
    }
    if (opened === 'slow' || opened === undefined) return new AwaitedLog(options, first);
    health.worked();
    return opened;
  } finally {
    isOver.abort();
  }
}

/** `undefined`: not now. */
async function tryToOpen({ open, topics, health }: AwaitedLogOptions): Promise<Log | undefined> {
  let log: Log | undefined;
  try {
    log = await open();
    await log.ensureTopics(topics);
    return log;
  } catch (error) {
    await log?.close();
    if (!isRetriable(error)) throw error;
    health.failed(error);
    return undefined;
  }
}

class AwaitedLog implements Log {
  readonly #options: AwaitedLogOptions;
  readonly #stop = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  /** Resolves when it is open, or never will be. */
  readonly #opening: Promise<void>;
  #log: Log | undefined;

  /** `first`: a try that may be under way. */
  constructor(options: AwaitedLogOptions, first: Promise<Log | undefined>) {
    this.#options = options;
    const opening = this.#open(first).catch((error: unknown) => options.onFatal(error));
    this.#opening = Promise.race([opening, this.#closed.promise]);
  }

  async #open(first: Promise<Log | undefined>): Promise<void> {
    const { time, retryMs = 1_000, health } = this.#options;
    const { signal } = this.#stop;
    let log = await first;
    while (log === undefined && !signal.aborted) {
      await pause(time, retryMs, signal);
      if (!signal.aborted) log = await tryToOpen(this.#options);
    }
    if (log === undefined) return;
    // Nobody waited for it.
    if (signal.aborted) return log.close();
    this.#log = log;
    health.worked();
  }

  #opened(): Log {
    if (this.#stop.signal.aborted) throw new LogError('closed', 'closed', { retriable: false });
    if (this.#log !== undefined) return this.#log;
    throw new LogError('unavailable', 'the log could not be opened yet', { retriable: true });
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    await this.#opened().ensureTopics(specs);
  }

  async append(records: readonly Append[]): Promise<readonly number[]> {
    return await this.#opened().append(records);
  }

  async *read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
    options?: ReadOptions,
  ): AsyncGenerator<ReadBatch, void, void> {
    await this.#whileClosed(signal);
    if (!signal.aborted) yield* this.#opened().read(topic, partition, from, signal, options);
  }

  /** Resolves when it is open, or never will be, or `signal` aborts. */
  async #whileClosed(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#log !== undefined) return;
    let leave = (): void => undefined;
    const aborted = new Promise<void>((resolve) => {
      leave = resolve;
      signal.addEventListener('abort', leave, { once: true });
    });
    await Promise.race([this.#opening, aborted]);
    signal.removeEventListener('abort', leave);
  }

  async end(topic: string, partition: number): Promise<Position> {
    return await this.#opened().end(topic, partition);
  }

  /** A try that is under way is not waited for: it closes what it opens. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#closed.resolve();
    await this.#log?.close();
  }
}
