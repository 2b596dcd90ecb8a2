import { LogError } from '@watershed/log/port.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { expect, test } from 'vitest';
import type { PublishedEvent } from '../src/core/ingest.ts';
import { Publisher, type EventWriter } from '../src/core/publisher.ts';

const event = (key: string, value: number | undefined): PublishedEvent => ({
  topic: 'config',
  key,
  value: value === undefined ? undefined : new Uint8Array([value]),
  owner: '/Thing//x',
  unit: 'a.yaml',
  version: '1',
});

/** A log that answers as it is told to. */
class Scripted implements EventWriter {
  readonly batches: string[][] = [];
  readonly failures: LogError[] = [];
  tooLarge: string | undefined;
  /** A value: the log has it, and then says that it is too large. */
  tooLargeForHistory: number | undefined;
  gate: Promise<void> = Promise.resolve();

  async write(batch: Parameters<EventWriter['write']>[0]): Promise<void> {
    await this.gate;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    const tooLarge = new LogError('record-too-large', 'too large', { retriable: false });
    if (batch.some(({ key, value }) => key === this.tooLarge && value !== undefined)) {
      throw tooLarge;
    }
    this.batches.push(batch.map(({ key, value }) => `${key}=${value?.[0] ?? 'gone'}`));
    const most = this.tooLargeForHistory;
    if (batch.some(({ value }) => value !== undefined && value[0] === most)) throw tooLarge;
  }
}

function setUp() {
  const writer = new Scripted();
  const time = new VirtualTime();
  const said: string[] = [];
  const publisher = new Publisher(
    {
      writer,
      time,
      counters: {
        suppressed: (silence, kind, count) => said.push(`${silence} ${kind} ${count}`),
        published: (kind, operation) => said.push(`${operation} ${kind}`),
        retried: () => said.push('retried'),
      },
      taken: ({ key }) => said.push(`taken ${key}`),
      refused: ({ key }, reason) => said.push(`refused ${key}: ${reason}`),
      failed: (error) => said.push(`failed: ${String(error)}`),
    },
    {
      events: [{ topic: 'config', key: 'known', value: new Uint8Array([1]), owner: '/Thing//x' }],
      objects: [{ topic: 'objects', key: 'object', value: new Uint8Array([1]) }],
    },
  );
  return { writer, time, said, publisher };
}

const unavailable = () => new LogError('unavailable', 'gone', { retriable: true });

test('what the log holds already is not written', async () => {
  const { writer, said, publisher } = setUp();
  publisher.publish([event('known', 1), event('new', 1), event('absent', undefined)], undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([['new=1']]);
  expect(said).toEqual(['log Thing 1', 'log Thing 1', 'upsert Thing']);
});

test('while the log is away it is tried again, with the newest value of each key', async () => {
  const { writer, time, said, publisher } = setUp();
  writer.failures.push(unavailable(), unavailable());
  publisher.publish([event('a', 1), event('b', 1)], undefined);
  await time.advance(0);
  publisher.publish([event('a', 2)], undefined);
  expect(publisher.waiting).toBe(2);
  await time.advance(100);
  await time.advance(200);
  await publisher.flushed();
  expect(writer.batches).toEqual([['a=2', 'b=1']]);
  expect(said.filter((line) => line === 'retried')).toHaveLength(2);
});

test('through many writes objects go first, then endpoints, configuration, and what takes endpoints back', async () => {
  const { writer, publisher } = setUp();
  const publish = (value: number, endpoints: number | undefined): void => {
    const some = (topic: PublishedEvent['topic'], given: number | undefined) =>
      Array.from({ length: 700 }, (_, at) => ({ ...event(`${topic} ${at} `, given), topic }));
    const events = [
      ...some('endpoints', endpoints),
      ...some('config', value),
      ...some('objects', value),
    ];
    publisher.publish(events, undefined);
  };
  const written = async (): Promise<readonly string[]> => {
    await publisher.flushed();
    const lines = writer.batches.splice(0).flatMap((batch) => batch);
    return [...new Set(lines.map((line) => line.replace(/ \d+ =/u, ' ')))];
  };
  publish(1, 1);
  expect(await written()).toEqual(['objects 1', 'endpoints 1', 'config 1']);
  publish(2, undefined);
  expect(await written()).toEqual(['objects 2', 'config 2', 'endpoints gone']);
  // The first write is under way when these come.
  publish(3, 3);
  publish(4, undefined);
  publish(5, 5);
  const expected = ['objects 3', 'endpoints 3', 'objects 5', 'endpoints 5', 'config 5'];
  expect(await written()).toEqual(expected);
});

test('a route that changed again while it waited goes after the service that it leads to by now', async () => {
  const { writer, publisher } = setUp();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  writer.gate = promise.then(() => undefined);
  publisher.publish([event('first', 1)], undefined);
  publisher.publish([event('c|route|n|r', 1)], undefined);
  publisher.publish([event('c|service|n|s', 1), event('c|route|n|r', 2)], undefined);
  resolve(undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([['first=1'], ['c|service|n|s=1', 'c|route|n|r=2']]);
});

test('a value that comes back before it was written costs nothing', async () => {
  const { writer, publisher } = setUp();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  writer.gate = promise.then(() => undefined);
  publisher.publish([event('first', 1)], undefined);
  publisher.publish([event('known', 2)], undefined);
  publisher.publish([event('known', 1)], undefined);
  resolve(undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([['first=1']]);
});

test('one event that the log never takes is told of, and the others are written', async () => {
  const { writer, said, publisher } = setUp();
  writer.tooLarge = 'huge';
  publisher.publish([event('a', 1), event('huge', 1), event('b', undefined)], undefined);
  publisher.publish([event('b', 1)], undefined);
  await publisher.flushed();
  expect(writer.batches.flat()).toEqual(['a=1', 'b=1']);
  expect(said).toContain('refused huge: too large');
});

test('what `history` alone did not take is replaced, and taken back', async () => {
  const { writer, said, publisher } = setUp();
  writer.tooLargeForHistory = 2;
  publisher.publish([event('known', 2), event('new', 2)], undefined);
  await publisher.flushed();
  expect(writer.batches.splice(0).at(-1)).toEqual(['new=2']);
  expect(said).toContain('refused known: too large');
  publisher.publish([event('known', 1), event('new', undefined)], undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([['known=1', 'new=gone']]);
  expect(said).toContain('taken known');
});

test('of an object that is too large no older version stays', async () => {
  const object = (value: number): PublishedEvent => ({
    ...event('object', value),
    topic: 'objects',
  });
  const { writer, said, publisher } = setUp();
  writer.tooLarge = 'object';
  publisher.publish([object(2), event('a', 1)], undefined);
  await publisher.flushed();
  expect(writer.batches.flat()).toEqual(['object=gone', 'a=1']);
  expect(said).toContain('refused object: too large');
  writer.tooLarge = undefined;
  publisher.publish([object(3)], undefined);
  await publisher.flushed();
  expect(writer.batches.at(-1)).toEqual(['object=3']);
});

test('a log that is lost for good is told of once, and nothing is written any more', async () => {
  const { writer, said, publisher } = setUp();
  writer.failures.push(new LogError('fenced', 'another owner', { retriable: false }));
  publisher.publish([event('a', 1)], undefined);
  await publisher.flushed();
  publisher.publish([event('b', 1)], undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([]);
  expect(said).toEqual(['failed: LogError: another owner']);
});

test('a stop waits for what is under way, until its deadline', async () => {
  const { writer, time, publisher } = setUp();
  writer.failures.push(unavailable());
  publisher.publish([event('a', 1)], undefined);
  await time.advance(0);
  const patient = publisher.stop(new AbortController().signal);
  await time.advance(100);
  await patient;
  expect(writer.batches).toEqual([['a=1']]);
});

test('a stop whose deadline passes leaves what waits', async () => {
  const { writer, time, publisher } = setUp();
  writer.failures.push(...Array.from({ length: 99 }, unavailable));
  publisher.publish([event('a', 1)], undefined);
  await time.advance(0);
  const deadline = new AbortController();
  const stopping = publisher.stop(deadline.signal);
  deadline.abort();
  await time.advance(0);
  await stopping;
  expect(writer.batches).toEqual([]);
  expect(publisher.waiting).toBe(1);
});

test('a stop whose deadline passes does not wait for a write that is not answered, and none follows it', async () => {
  const { writer, time, publisher } = setUp();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  writer.gate = promise.then(() => undefined);
  publisher.publish([event('a', 1)], undefined);
  await time.advance(0);
  publisher.publish([event('b', 1)], undefined);
  await publisher.stop(AbortSignal.abort());
  resolve(undefined);
  await publisher.flushed();
  expect(writer.batches).toEqual([['a=1']]);
  expect(publisher.waiting).toBe(1);
});

test('a value that comes back after its removal failed is written: the removal may have arrived', async () => {
  const { writer, time, publisher } = setUp();
  writer.failures.push(unavailable());
  publisher.publish([event('known', undefined)], undefined);
  await time.advance(0);
  publisher.publish([event('known', 1)], undefined);
  await time.advance(100);
  await publisher.flushed();
  expect(writer.batches).toEqual([['known=1']]);
});
