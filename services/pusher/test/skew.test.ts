/** A pusher beside translators and pushers of later versions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log, LogRecord } from '@watershed/log/port.ts';
import { partitionOf, topics, xdsKeys } from '@watershed/model/keys.ts';
import { afterEach, expect, it } from 'vitest';
import { CDS, EDS } from './session/support.ts';
import { contentOf, DeltaClient } from './support/client.ts';
import { scopeOfNode } from './support/scope.ts';
import { partitions, run, until, type Running } from './support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const shop = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' } };
/** Field 1000 of any message, a varint: nobody knows it yet. */
const later = Uint8Array.of(0xc0, 0x3e, 1);
const keyOfA = xdsKeys.resource(CDS, 'a', '');

const open: { close(): void }[] = [];
const dirs: string[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function temporary(name: string): string {
  const dir = mkdtempSync(join(tmpdir(), name));
  dirs.push(dir);
  return dir;
}

/** The log where records of `xds` are changed on the way to the pusher. */
function reading(change: (record: LogRecord) => LogRecord): Partial<Log> {
  return {
    async *read(topic, partition, from, signal) {
      if (running === undefined) await until('it runs', () => running !== undefined);
      const log = running?.translator.log;
      if (log === undefined) return;
      for await (const batch of log.read(topic, partition, from, signal)) {
        const records = topic === topics.xds ? batch.records.map(change) : batch.records;
        yield { ...batch, records };
      }
    },
  };
}

function connect(): DeltaClient {
  const client = new DeltaClient(running?.port ?? 0);
  open.push(client);
  client.request(CDS);
  return client;
}

it('serves what has fields that it does not know, and passes over records that it does not know', async () => {
  running = await run({
    log: reading((record) => ({
      ...record,
      value: record.value && Buffer.concat([record.value, later]),
    })),
  });
  const { log } = running.translator;
  await log.append([
    { topic: topics.xds, partition: 0, key: 'z|later', value: later },
    { topic: topics.xds, partition: 0, key: xdsKeys.resource(CDS, 'x', ''), value: later },
    { topic: topics.feedback, partition: 0, key: 'p|later', value: later },
    { topic: topics.feedback, partition: 0, key: 'z|later', value: later },
    { topic: topics.feedback, partition: 0, key: 'd|later|x', value: later },
  ]);
  await running.translator.publish(shop, scopes);
  expect(contentOf(await connect().next())).toEqual(shop[CDS]);
});

it('keeps what it has of a resource whose record is of a later schema, and says so', async () => {
  running = await run({
    log: reading((record) =>
      record.key === keyOfA && record.offset > 8 ? { ...record, headers: { schema: '2' } } : record,
    ),
  });
  const { translator, logs } = running;
  await translator.publish(shop, scopes);
  const client = connect();
  const first = await client.next();
  expect(contentOf(first)).toEqual(shop[CDS]);
  client.ack(first);
  // Compaction's gaps apart, offsets of a partition grow with what is written.
  for (let at = 0; at < 10; at++) await translator.watermarks();
  await translator.publish({ ...shop, [CDS]: { a: '2', b: '2' } }, scopes);
  expect(contentOf(await client.next())).toEqual({ b: '2' });
  expect(logs.some((line) => line.includes(keyOfA) && line.includes('schema'))).toBe(true);
});

it('serves what it served last while there are records of a later schema when it starts', async () => {
  const [coldDir, dir] = [temporary('skew-cold-'), temporary('skew-log-')];
  running = await run({ coldAfterMs: 100, coldDir, dir, keepDir: true });
  await running.translator.publish(shop, scopes);
  expect(contentOf(await connect().next())).toEqual(shop[CDS]);
  for (const client of open.splice(0)) client.close();
  await running.stop();
  running = undefined;
  running = await run({
    ...{ coldAfterMs: 100, coldDir, dir, keepDir: true },
    log: reading((record) =>
      record.key === keyOfA && record.headers['schema'] !== '1'
        ? { ...record, headers: { schema: '2' } }
        : record,
    ),
  });
  expect(contentOf(await connect().next())).toEqual(shop[CDS]);
  expect(running.readiness.missing).toEqual(['pusher']);
  expect(running.readiness.remarks).toEqual([expect.stringContaining('later schema')]);
  // Whoever wrote it goes back.
  const partition = partitionOf('a', partitions);
  const value = undefined;
  const record = { topic: topics.xds, partition, key: keyOfA, value, headers: { schema: '1' } };
  await running.translator.log.append([record]);
  await until('it is ready', () => running?.readiness.ready === true);
});
