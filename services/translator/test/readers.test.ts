import { expect, it } from 'vitest';
import type { Log, LogRecord, Position, ReadBatch } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import type { Portion } from '../src/engine/intake.ts';
import { Reader } from '../src/readers.ts';
import { noLogger } from './engine/support/world.ts';

/** One partition that can be put back to an older copy, under its reader. */
class Restorable implements Log {
  #records: LogRecord[] = [];
  #copies = 0;
  readonly #news = new Notice();
  /** Called once, when the end has been asked for. */
  onEnd: (() => void) | undefined;

  say(...keys: readonly string[]): void {
    for (const key of keys) {
      const offset = this.#records.length;
      this.#records.push({ key, value: Uint8Array.of(1), headers: {}, offset, timestampMs: 0 });
    }
    this.#news.tell();
  }

  /** Only the first records are left. */
  putBack(left: number): void {
    this.#records = this.#records.slice(0, left);
    this.#copies++;
    this.#news.tell();
  }

  async ensureTopics(): Promise<void> {}

  async append(): Promise<readonly number[]> {
    return [];
  }

  async end(): Promise<Position> {
    const offset = this.#records.length;
    this.onEnd?.();
    this.onEnd = undefined;
    return { topicId: 't', offset };
  }

  async *read(
    _topic: string,
    _partition: number,
    _from: Position | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ReadBatch, void, void> {
    let offset = 0;
    let reset: ReadBatch['reset'] = 'no-position';
    for (let copies = this.#copies; !signal.aborted; await this.#news.next()) {
      if (copies !== this.#copies) [copies, offset, reset] = [this.#copies, 0, 'beyond-end'];
      const records = this.#records.slice(offset);
      offset += records.length;
      const position = { topicId: 't', offset };
      yield { ...(reset === undefined ? {} : { reset }), records, position, caughtUp: true };
      reset = undefined;
    }
  }

  async close(): Promise<void> {
    this.#news.tell();
  }
}

function opened(): {
  log: Restorable;
  reader: Reader;
  portions: Portion[];
  end: () => Promise<void>;
} {
  const log = new Restorable();
  const stop = new AbortController();
  const portions: Portion[] = [];
  const reader = new Reader({
    log,
    topic: 'config',
    partition: 0,
    time: new VirtualTime(),
    logger: noLogger,
    metrics: new Metrics(),
    signal: stop.signal,
    apply: (portion) => portions.push(portion),
    refuse: () => undefined,
  });
  const end = async (): Promise<void> => {
    stop.abort();
    await log.close();
  };
  return { log, reader, portions, end };
}

it('has read all there was, though the end that was asked for was lost since', async () => {
  const { log, reader, portions, end } = opened();
  log.say('a', 'b', 'c');
  const running = reader.run();
  await reader.caughtUp;
  log.onEnd = () => log.putBack(1);
  await reader.allRead();
  expect(portions.at(-1)).toMatchObject({ end: 1, isUnfinished: false });
  expect(portions.at(-1)?.changes.map(({ key }) => key)).toEqual(['b', 'c']);
  await end();
  await running;
});

it('catches up at the start, though the log was put back before the first reading', async () => {
  const { log, reader, end } = opened();
  log.say('a', 'b', 'c');
  log.onEnd = () => log.putBack(1);
  const running = reader.run();
  await reader.caughtUp;
  await end();
  await running;
});
