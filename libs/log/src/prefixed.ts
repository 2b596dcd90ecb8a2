/** A part of a log that several share: all topics whose names begin alike. */
import type { Append, Log, Position, ReadBatch, ReadOptions, TopicSpec } from './port.ts';

/** Closes `log` with it. */
export function prefixed(prefix: string, log: Log): Log {
  return prefix === '' ? log : new PrefixedLog(prefix, log);
}

class PrefixedLog implements Log {
  readonly #prefix: string;
  readonly #log: Log;

  constructor(prefix: string, log: Log) {
    this.#prefix = prefix;
    this.#log = log;
  }

  ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    return this.#log.ensureTopics(specs.map((spec) => ({ ...spec, name: this.#of(spec.name) })));
  }

  append(records: readonly Append[]): Promise<readonly number[]> {
    return this.#log.append(records.map((one) => ({ ...one, topic: this.#of(one.topic) })));
  }

  read(
    topic: string,
    partition: number,
    from: Position | undefined,
    signal: AbortSignal,
    options?: ReadOptions,
  ): AsyncIterable<ReadBatch> {
    return this.#log.read(this.#of(topic), partition, from, signal, options);
  }

  end(topic: string, partition: number): Promise<Position> {
    return this.#log.end(this.#of(topic), partition);
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  #of(topic: string): string {
    return this.#prefix + topic;
  }
}
