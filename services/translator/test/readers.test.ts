import { expect, it } from 'vitest';
import type { Log, LogRecord, Position, ReadBatch } from '@watershed/log/port.ts';
import { Notice } from '@watershed/log/time.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import type { Portion } from '../src/engine/intake.ts';
import { Reader } from '../src/readers.ts';

/** One partition that can be put back to an older copy, under its reader. */
class Restorable implements Log {
  #records: LogRecord[] = [];
  /** Where it ended each time that it had lost its tail. */
  readonly #cuts: number[] = [];
  readonly #news = new Notice();
  /** Called once, when the end has been asked for. */
  onEnd: (() => void) | undefined;

  say(...keys: readonly string[]): void {
    this.sayUnheard(...keys);
    this.#news.tell();
  }

  /** Its readers come to it later. */
  sayUnheard(...keys: readonly string[]): void {
    for (const key of keys) {
      const offset = this.#end;
      this.#records.push({ key, value: Uint8Array.of(1), headers: {}, offset, timestampMs: 0 });
    }
  }

  /** Those that are not the last of their keys are gone. */
  compact(): void {
    const last = new Map(this.#records.map(({ key, offset }) => [key, offset]));
    this.#records = this.#records.filter(({ key, offset }) => last.get(key) === offset);
  }

  /** Only the first records are left. */
  putBack(left: number): void {
    this.#records = this.#records.slice(0, left);
    this.#cuts.push(left);
    this.#news.tell();
  }

  get #end(): number {
    return (this.#records.at(-1)?.offset ?? -1) + 1;
  }

  async ensureTopics(): Promise<void> {}

  async append(): Promise<readonly number[]> {
    return [];
  }

  async end(): Promise<Position> {
    const offset = this.#end;
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
    for (let known = this.#cuts.length; !signal.aborted; await this.#news.next()) {
      if (offset > Math.min(...this.#cuts.slice(known))) [offset, reset] = [0, 'beyond-end'];
      known = this.#cuts.length;
      const from = offset;
      const news = this.#records.filter((record) => record.offset >= from);
      // Record by record, as a busy log gives them.
      for (const records of news.length === 0 ? [[]] : news.map((record) => [record])) {
        offset = (records[0]?.offset ?? offset - 1) + 1;
        const position = { topicId: 't', offset };
        const caughtUp = offset >= this.#end;
        yield { ...(reset === undefined ? {} : { reset }), records, position, caughtUp };
        reset = undefined;
      }
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

it('has read all there is, where only what it had not read yet was lost', async () => {
  const { log, reader, portions, end } = opened();
  log.say('a');
  const running = reader.run();
  await reader.caughtUp;
  log.sayUnheard('b', 'c');
  log.onEnd = () => log.putBack(2);
  await reader.allRead();
  expect(portions.at(-1)).toMatchObject({ end: 2, isUnfinished: false });
  await end();
  await running;
});

it('has read all there was, though more is appended all the time', async () => {
  const { log, reader, end } = opened();
  log.say('a');
  const running = reader.run();
  await reader.caughtUp;
  let offset = 2;
  // The end is always a little beyond what has been read, as where each batch is a moment old.
  log.end = async () => ({ topicId: 't', offset: ++offset });
  const allRead = reader.allRead();
  for (const key of ['b', 'c']) {
    await new Promise(setImmediate);
    log.say(key);
  }
  await allRead;
  await end();
  await running;
});

it('says that more must come, where compaction took what a later record supersedes', async () => {
  const { log, reader, portions, end } = opened();
  log.say('a');
  const running = reader.run();
  await reader.caughtUp;
  const told = portions.length;
  log.say('b', 'c', 'd', 'b', 'e');
  log.compact();
  await reader.allRead();
  const ends = portions.slice(told).map(({ end, isUnfinished }) => [end, isUnfinished]);
  expect(ends).toEqual([
    [3, true],
    [4, true],
    [5, true],
    [6, false],
  ]);
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

it('ends when it is told to, though the log does not say where it ends', async () => {
  const { log, reader, end } = opened();
  log.end = () => new Promise(() => undefined);
  const running = reader.run();
  await end();
  await running;
});
