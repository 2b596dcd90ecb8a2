import { tracingChannel } from 'node:diagnostics_channel';
import {
  Connection,
  Producer,
  deleteTopicsV6,
  fetchV13,
  listOffsetsV7,
  metadataV12,
  stringSerializers,
} from '@platformatic/kafka';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startTestKafka, type TestKafka } from '../../../test/components/kafka.ts';
import { Fold } from '../src/fold.ts';
import { openKafkaLog } from '../src/kafka.ts';
import type { KafkaLogOptions } from '../src/kafka.ts';
import { OwnedPartition } from '../src/owned.ts';
import { answer } from '../src/kafka/codec.ts';
import { code } from '../src/kafka/failure.ts';
import type { FetchResponse } from '../src/kafka/session.ts';
import type { Log, LogError, ReadBatch, ReadOptions, TopicSpec } from '../src/port.ts';
import { brief, bytes, readAll, realTime, sleep, tail, textOf, until } from './support.ts';

let kafka: TestKafka;
let aheadMs = 0;
let topicNumber = 0;
const opened: Log[] = [];
const time = { ...realTime, now: () => Date.now() + aheadMs };

beforeAll(async () => {
  kafka = await startTestKafka({ nodes: 3, heapMb: 256 });
});
afterAll(() => kafka.stop());
afterEach(async () => {
  aheadMs = 0;
  await Promise.all(opened.splice(0).map((log) => log.close()));
});

async function open(options: Partial<KafkaLogOptions> = {}): Promise<Log> {
  const log = await openKafkaLog({ brokers: kafka.brokers, time, ...options });
  opened.push(log);
  return log;
}

function compacted(partitions = 1): TopicSpec {
  const name = `cluster-${topicNumber++}`;
  return { name, partitions, retention: { kind: 'compact', tombstoneMs: 3_600_000 } };
}

async function start(spec = compacted()): Promise<{ log: Log; topic: string }> {
  const log = await open();
  await log.ensureTopics([spec]);
  return { log, topic: spec.name };
}

async function connectedTo<T>(broker: string, use: (c: Connection) => Promise<T>): Promise<T> {
  const connection = new Connection('test');
  const [host = '', port = ''] = broker.split(':');
  await connection.connect(host, Number(port));
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

/** Resolves when no broker knows it: one that is late would give the old topic for the new one. */
async function deleteTopic(name: string): Promise<void> {
  const [first = ''] = kafka.brokers;
  await connectedTo(first, (connection) =>
    deleteTopicsV6.api.async(connection, [{ name }], 10_000),
  );
  for (const broker of kafka.brokers) {
    await until(`${broker} has forgotten ${name}`, () =>
      connectedTo(broker, async (connection) => {
        const call = metadataV12.api.async(connection, [name], false, false);
        const { topics } = await answer(call);
        return topics.every(({ errorCode }) => errorCode === code.unknownTopicOrPartition);
      }),
    );
  }
}

/** At each broker: sessions of fetches have random numbers. */
async function endSession(session: number): Promise<void> {
  for (const broker of kafka.brokers) {
    await connectedTo(broker, (connection) =>
      fetchV13.api.async(connection, 0, 1, 1024, 0, session, -1, [], [], ''),
    ).catch(() => undefined);
  }
}

/** How many requests of that kind this process has sent since. */
function requestsOf(apiKey: number): () => number {
  let requests = 0;
  const count = (message: unknown): void => {
    if ((message as { readonly apiKey?: number }).apiKey === apiKey) requests++;
  };
  tracingChannel('plt:kafka:connections:api').start.subscribe(count);
  return () => requests;
}

/** What brokers have answered since to fetches of this process. */
function fetched(): () => readonly { readonly session: number; readonly partitions: number }[] {
  const answers: { session: number; partitions: number }[] = [];
  tracingChannel('plt:kafka:connections:api').asyncStart.subscribe((message) => {
    const { apiKey, result } = message as { apiKey?: number; result?: FetchResponse };
    if (apiKey !== fetchV13.api.key || result === undefined) return;
    const partitions = result.responses.reduce((sum, one) => sum + one.partitions.length, 0);
    answers.push({ session: result.sessionId, partitions });
  });
  return () => answers;
}

describe('the log on a Kafka cluster', () => {
  it('loses, repeats and reorders nothing while brokers die and come back', async () => {
    const { log, topic } = await start(compacted(3));
    const folds = [0, 1, 2].map(() => new Fold());
    const seen: string[][] = [[], [], []];
    const readers = [0, 1, 2].map((partition) =>
      tail(log, topic, partition, undefined, (batch) => {
        folds[partition]!.apply(batch);
        seen[partition]!.push(...batch.records.map(({ key }) => key));
      }),
    );
    const sent: string[][] = [[], [], []];
    const state = { stop: false };
    const writers = [0, 1, 2].map(async (partition) => {
      const calls: Promise<unknown>[] = [];
      for (let i = 0; !state.stop; i++) {
        const keys = [`${partition}-${i}-a`, `${partition}-${i}-b`];
        sent[partition]!.push(...keys);
        calls.push(log.append(keys.map((key) => ({ topic, partition, key, value: bytes('1') }))));
        await sleep(5);
      }
      await Promise.all(calls);
    });
    for (const node of [0, 1, 2]) {
      await sleep(1_000);
      if (node === 2) await kafka.shutDown(node);
      else await kafka.kill(node);
      await sleep(1_000);
      await kafka.restart(node);
    }
    state.stop = true;
    await Promise.all(writers);
    for (const partition of [0, 1, 2]) {
      const { records } = await readAll(log, topic, partition);
      expect(records.map(({ key }) => key)).toEqual(sent[partition]);
      await until(
        'the live reader has all',
        () => seen[partition]!.length >= records.length,
        20_000,
      );
      expect(seen[partition]).toEqual(sent[partition]);
      expect(folds[partition]!.size).toBe(records.length);
    }
    expect(sent[0]!.length).toBeGreaterThan(200);
    await Promise.all(readers.map((reader) => reader.stop()));
  });

  it('keeps an owner over the death of its leader', async () => {
    const { log, topic } = await start();
    const owner = await OwnedPartition.open({
      log,
      topic,
      partition: 0,
      writer: 'w',
      time: realTime,
    });
    await owner.set('k', bytes('0'));
    for (const node of [0, 1]) {
      const writing = (async () => {
        for (let i = 0; i < 30; i++) {
          await owner.set('k', bytes(`${node}-${i}`));
          await sleep(20);
        }
      })();
      await kafka.kill(node);
      await writing;
      await kafka.restart(node);
    }
    expect(owner.lost.aborted).toBe(false);
    const fold = new Fold();
    for (const batch of (await readAll(log, topic)).batches) fold.apply(batch);
    expect(textOf(fold.get('k'))).toBe('1-29');
    await owner.close();
  });

  it('is caught up behind the marks of transactions, and resumes there', async () => {
    const { log, topic } = await start();
    await log.append([{ topic, partition: 0, key: 'a', value: bytes('1') }]);
    const producer = new Producer({
      clientId: 'test',
      bootstrapBrokers: [...kafka.brokers],
      serializers: stringSerializers,
      idempotent: true,
      transactionalId: `tx-${topic}`,
    });
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: [{ topic, partition: 0, key: 'b', value: '2' }] });
    await transaction.commit();
    await producer.close();
    await until('the mark is there', async () => (await log.end(topic, 0)).offset > 2);
    const { records, position, batches } = await readAll(log, topic);
    expect(brief(records)).toEqual(['a=1', 'b=2']);
    expect(batches.at(-1)?.caughtUp).toBe(true);
    const end = await log.end(topic, 0);
    expect(position.offset).toBe(end.offset);
    expect(end.offset).toBeGreaterThan(records.at(-1)!.offset + 1);
    const again = await readAll(log, topic, 0, { ...position, offset: end.offset - 1 });
    expect(again.records).toEqual([]);
    expect(again.batches.at(-1)).toMatchObject({ caughtUp: true });
    expect(again.position.offset).toBe(end.offset);
  });

  it('resets a reader under which the topic is created again', async () => {
    const spec = compacted();
    const { log, topic } = await start(spec);
    await log.append([{ topic, partition: 0, key: 'old', value: bytes('1') }]);
    const fold = new Fold();
    const resets: unknown[] = [];
    const reader = tail(log, topic, 0, undefined, (batch) => {
      if (batch.reset !== undefined) resets.push(batch.reset);
      fold.apply(batch);
    });
    await until('it is read', () => fold.size === 1);
    await deleteTopic(topic);
    const other = await open();
    await other.ensureTopics([spec]);
    await other.append([{ topic, partition: 0, key: 'new', value: bytes('1') }]);
    await until('the reader has started over', () => fold.get('new') !== undefined, 30_000);
    await until('the old key is swept', () => fold.get('old') === undefined);
    expect(resets).toEqual(['no-position', 'other-topic']);
    await reader.stop();
  });

  it('resets a reader of a history that the log has lost, though it has grown as long again', async () => {
    const { log, topic } = await start();
    for (const value of ['1', '2']) {
      await log.append([{ topic, partition: 0, key: 'a', value: bytes(value) }]);
    }
    const { position } = await readAll(log, topic);
    expect(position.leaderEpoch).toBeGreaterThanOrEqual(0);
    expect((await readAll(log, topic, 0, { ...position, offset: 1 })).reset).toBeUndefined();
    // Read under a leader that this log never had.
    const lost = { ...position, offset: 1, leaderEpoch: (position.leaderEpoch ?? 0) + 5 };
    const read = await readAll(log, topic, 0, lost);
    expect(read.reset).toBe('beyond-end');
    expect(brief(read.records)).toEqual(['a=1', 'a=2']);
  });

  it('judges an old position by the time that it carries', async () => {
    const { log, topic } = await start();
    await log.append([{ topic, partition: 0, key: 'a', value: bytes('1') }]);
    const { position } = await readAll(log, topic);
    aheadMs = 3_600_001;
    // Nothing happened since: nothing can be missed.
    expect((await readAll(log, topic, 0, position)).reset).toBeUndefined();
    await log.append([{ topic, partition: 0, key: 'b', value: bytes('1') }]);
    expect((await readAll(log, topic, 0, position)).reset).toBe('older-than-tombstones');
    const { atMs: _, ...timeless } = position;
    expect((await readAll(log, topic, 0, timeless)).reset).toBe('older-than-tombstones');
    const fresh = { ...position, atMs: time.now() - 1_000 };
    const resumed = await readAll(log, topic, 0, fresh);
    expect(resumed.reset).toBeUndefined();
    expect(brief(resumed.records)).toEqual(['b=1']);
  });

  it('refuses a topic that is kept in another way', async () => {
    const spec = compacted();
    const { log } = await start(spec);
    await expect(
      log.ensureTopics([{ ...spec, retention: { kind: 'time', ms: 1_000 } }]),
    ).rejects.toMatchObject({ code: 'partition-mismatch', retriable: false });
  });

  it('refuses a record that the topic does not take, and goes on', async () => {
    const small = await open({ maxRecordBytes: 10_000 });
    const spec = compacted();
    await small.ensureTopics([spec]);
    const log = await open();
    const record = { topic: spec.name, partition: 0, key: 'big', value: new Uint8Array(500_000) };
    await expect(log.append([record])).rejects.toMatchObject({
      code: 'record-too-large',
      retriable: false,
    });
    await log.append([{ ...record, key: 'small', value: bytes('1') }]);
    expect(brief((await readAll(log, spec.name)).records)).toEqual(['small=1']);
  });

  it('takes what is too large for the topic only together, in several batches, in order', async () => {
    const spec = compacted();
    await (await open({ maxRecordBytes: 20_000 })).ensureTopics([spec]);
    const [log, topic] = [await open(), spec.name];
    const append = (key: string, size: number): Promise<readonly number[]> =>
      log.append([{ topic, partition: 0, key, value: new Uint8Array(size) }]);
    const keys = Array.from({ length: 20 }, (_, at) => `k${at}`);
    const calls = keys.map((key) => append(key, 9_000));
    const large = append('large', 30_000);
    const last = append('last', 1);
    await expect(large).rejects.toMatchObject({ code: 'record-too-large' });
    expect((await Promise.all([...calls, last])).flat()).toEqual(
      Array.from({ length: 21 }, (_, at) => at),
    );
    expect((await readAll(log, topic)).records.map(({ key }) => key)).toEqual([...keys, 'last']);
  });

  it('refuses appends when too many bytes wait', async () => {
    const { topic } = await start();
    const log = await open({ maxPendingBytes: 1_000 });
    const value = new Uint8Array(600);
    const calls = ['a', 'b'].map((key) => log.append([{ topic, partition: 0, key, value }]));
    const results = await Promise.allSettled(calls);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect(results[1]).toMatchObject({ reason: { code: 'unavailable', retriable: true } });
  });
});

describe('readers at ends of partitions', () => {
  /** One for each partition of a topic, all caught up. */
  async function waiting(partitions: number, options: ReadOptions = {}) {
    const { log, topic } = await start(compacted(partitions));
    const stop = new AbortController();
    /** Of partition 0. */
    const seen: (string | undefined)[] = [];
    const caughtUp = new Set<number>();
    const readers = Array.from({ length: partitions }, async (_, partition) => {
      for await (const batch of log.read(topic, partition, undefined, stop.signal, options)) {
        if (partition === 0) seen.push(...batch.records.map(({ value }) => textOf(value)));
        caughtUp.add(partition);
      }
    });
    await until('all are caught up', () => caughtUp.size === partitions);
    const put = (text: string): Promise<unknown> =>
      log.append([{ topic, partition: 0, key: 'a', value: bytes(text) }]);
    const end = async (): Promise<void> => {
      stop.abort();
      await Promise.all(readers);
    };
    return { seen, put, end };
  }

  it('hear from the broker of the partition in which there is something new', async () => {
    const { seen, put, end } = await waiting(60, { lagMs: () => 100 });
    const answers = fetched();
    let text = 0;
    await until('brokers tell of that one alone, to all who ask together', async () => {
      await put(String(++text));
      await until('it is read', () => seen.at(-1) === String(text));
      const last = answers().findLast(({ partitions }) => partitions > 0);
      return last !== undefined && last.session > 0 && last.partitions === 1;
    });
    await end();
  });

  it('go on when the broker has forgotten for what they wait', async () => {
    const answers = fetched();
    const { seen, put, end } = await waiting(60, { lagMs: () => 100 });
    const sessions = (): ReadonlySet<number> => new Set(answers().map(({ session }) => session));
    await until('there are sessions', () => sessions().size > 1);
    await put('before');
    await until('it is read', () => seen.at(-1) === 'before');
    for (const session of sessions()) await endSession(session);
    for (const text of ['first', 'second', 'third']) {
      await put(text);
      await until('it is read', () => seen.at(-1) === text);
    }
    expect(seen).toEqual(['before', 'first', 'second', 'third']);
    await end();
  });

  it('hear of much together where they may hear late', async () => {
    const { seen, put, end } = await waiting(1, { lagMs: () => 4_000 });
    const asked = requestsOf(fetchV13.api.key);
    const texts = Array.from({ length: 20 }, (_, at) => String(at));
    for (const text of texts) await put(text);
    await until('all is read', () => seen.length === texts.length);
    expect(seen).toEqual(texts);
    expect(asked()).toBeLessThan(texts.length / 2);
    await end();
  });
});

describe('without brokers', () => {
  it('asks each broker once where all of its partitions end', async () => {
    const { log, topic } = await start(compacted(32));
    await log.append([{ topic, partition: 7, key: 'a', value: bytes('1') }]);
    const asked = requestsOf(listOffsetsV7.api.key);
    const partitions = Array.from({ length: 32 }, (_, at) => at);
    const ends = await Promise.all(partitions.map((partition) => log.end(topic, partition)));
    expect(ends.map(({ offset }) => offset)).toEqual(partitions.map((at) => (at === 7 ? 1 : 0)));
    expect(asked()).toBe(kafka.brokers.length);
  });

  it('asks each broker once for readers at the end, and again for those for whom there was no room', async () => {
    const spec = compacted(24);
    // An answer has room for one partition of the eight that a broker leads.
    const log = await open({ maxBatchBytes: 5_000 });
    await log.ensureTopics([spec]);
    const topic = spec.name;
    const partitions = Array.from({ length: 24 }, (_, at) => at);
    const stop = new AbortController();
    const readers = partitions.map((partition) =>
      log.read(topic, partition, undefined, stop.signal)[Symbol.asyncIterator](),
    );
    const next = (): Promise<string[]>[] =>
      readers.map(async (reader) => {
        const batch: ReadBatch | void = (await reader.next()).value;
        return batch?.records.map(({ key }) => key) ?? [];
      });
    expect(await Promise.all(next())).toEqual(partitions.map(() => []));
    // It comes while they work: they wait at what they take for the end.
    const value = bytes('x'.repeat(4_000));
    const keys = partitions.map((partition) => [`${partition}-a`, `${partition}-b`]);
    await log.append(
      partitions.flatMap((partition) =>
        keys[partition]!.map((key) => ({ topic, partition, key, value })),
      ),
    );
    const asked = requestsOf(fetchV13.api.key);
    expect(await Promise.all(next())).toEqual(keys);
    // One partition of each broker came with the first answer, the others were asked for alone.
    expect(asked()).toBe(partitions.length);
    stop.abort();
  });

  it('gives its caller a turn to work on what came before it asks for more', async () => {
    const { log, topic } = await start();
    const stop = new AbortController();
    const batches = log.read(topic, 0, undefined, stop.signal)[Symbol.asyncIterator]();
    await batches.next();
    const first = batches.next();
    await log.append([{ topic, partition: 0, key: 'a', value: bytes('1') }]);
    expect(textOf((await first).value?.records[0]?.value)).toBe('1');
    const asked = requestsOf(fetchV13.api.key);
    const second = batches.next();
    for (let i = 0; i < 100; i++) await Promise.resolve();
    expect(asked()).toBe(0);
    await until('more is asked for', () => asked() === 1);
    stop.abort();
    await second;
  });

  it('says that none can be reached', async () => {
    await expect(openKafkaLog({ brokers: ['127.0.0.1:1'], time })).rejects.toMatchObject({
      code: 'unavailable',
      retriable: true,
      message: expect.stringContaining('127.0.0.1:1'),
    });
  });

  it('fails appends in time, tells of what is tried again, and goes on when they are back', async () => {
    const alone = await startTestKafka();
    const told: LogError[] = [];
    const log = await openKafkaLog({
      brokers: alone.brokers,
      time: realTime,
      appendTimeoutMs: 1_000,
      callTimeoutMs: 1_000,
      onRetry: (error) => told.push(error),
    });
    try {
      const { name: topic, ...rest } = compacted();
      await log.ensureTopics([{ name: topic, ...rest }]);
      const append = (key: string) => log.append([{ topic, partition: 0, key, value: bytes('1') }]);
      await append('before');
      const fold = new Fold();
      const reader = tail(log, topic, 0, undefined, (batch) => fold.apply(batch));
      await until('it is read', () => fold.get('before') !== undefined);
      await alone.kill(0);
      const away = { code: 'unavailable', retriable: true };
      await expect(append('during')).rejects.toMatchObject(away);
      await expect(log.end(topic, 0)).rejects.toMatchObject(away);
      for (const what of ['append to', 'find the end of', 'read']) {
        const says = ({ message }: LogError): boolean =>
          message.includes(`cannot ${what} ${topic}`);
        await until(`it is told: ${what}`, () => told.some(says));
      }
      expect(told[0]).toMatchObject(away);
      await alone.restart(0);
      await until(
        'appends work again',
        () =>
          append('after').then(
            () => true,
            () => false,
          ),
        30_000,
      );
      await until('the reader goes on', () => fold.get('after') !== undefined, 30_000);
      await reader.stop();
    } finally {
      await log.close();
      await alone.stop();
    }
  });

  it('asks others where the first of its brokers says nothing', async () => {
    const spec = compacted();
    const { log: before, topic } = await start(spec);
    await before.append([{ topic, partition: 0, key: 'a', value: bytes('1') }]);
    kafka.pause(0);
    try {
      const log = await open();
      await log.ensureTopics([spec]);
      expect(brief((await readAll(log, topic)).records)).toEqual(['a=1']);
    } finally {
      kafka.resume(0);
    }
  });

  it('waits for nothing from brokers that say nothing, when readers and the log are closed', async () => {
    const alone = await startTestKafka();
    const log = await openKafkaLog({ brokers: alone.brokers, time: realTime });
    try {
      const { name: topic, ...rest } = compacted();
      await log.ensureTopics([{ name: topic, ...rest }]);
      await log.append([{ topic, partition: 0, key: 'before', value: bytes('1') }]);
      alone.pause(0);
      let gaveUp = false;
      const append = log
        .append([{ topic, partition: 0, key: 'during', value: bytes('1') }])
        .then(String, (error: unknown) => (error as LogError).code)
        .finally(() => (gaveUp = true));
      const reader = tail(log, topic, 0, undefined, () => undefined);
      await sleep(100);
      await reader.stop();
      // The reader asked later, so an end of its own patience would come later too.
      expect(gaveUp).toBe(false);
      await log.close();
      expect(await append).toBe('closed');
    } finally {
      alone.resume(0);
      await log.close();
      await alone.stop();
    }
  });
});
