/** Ingesters of several clusters on one log. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedLog } from '@watershed/log/embedded.ts';
import { Fold } from '@watershed/log/fold.ts';
import { OwnedPartition } from '@watershed/log/owned.ts';
import type { LogRecord } from '@watershed/log/port.ts';
import { isClaimKey } from '@watershed/log/ownership.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createIngester, type Ingester } from '../src/app.ts';
import { allKinds } from './kinds/all-kinds.ts';
import { MemoryFiles } from './memory-files.ts';
import { openLog, sealing, service, services, settings } from './support.ts';

const partitions = { endpoints: 2, history: 1 };
const places = [
  { topic: 'config', partition: 0 },
  { topic: 'endpoints', partition: 0 },
  { topic: 'endpoints', partition: 1 },
] as const;

let folder = '';
let log: EmbeddedLog;
let running: Ingester[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ingester-clusters-'));
  log = await openLog(join(folder, 'log'), partitions.endpoints);
});

afterEach(async () => {
  for (const ingester of running) await ingester.stop(AbortSignal.timeout(5_000));
  running = [];
  await log.close();
  await rm(folder, { recursive: true });
});

interface Running {
  readonly ingester: Ingester;
  readonly files: MemoryFiles;
  readonly fatal: unknown[];
  write(text: string): Promise<void>;
}

/** The ingester of a cluster with one file. */
async function start(cluster: string, text: string): Promise<Running> {
  const files = new MemoryFiles(new Map([['a.yaml', text]]));
  const fatal: unknown[] = [];
  const logging = new Logging({
    scopes: ['x'],
    levels: 'none',
    json: true,
    clock: systemTime,
    write: () => undefined,
  });
  const ingester = createIngester({
    log,
    sources: [files],
    kinds: allKinds,
    settings: { ...settings, cluster },
    partitions,
    writer: `ingester of ${cluster}`,
    sealing,
    time: systemTime,
    logger: logging.scope('x'),
    metrics: new Metrics(),
    tracing: noTracing,
    readiness: new Readiness(),
    onFatal: (error) => fatal.push(error),
  });
  running.push(ingester);
  await ingester.start();
  await ingester.synced;
  const write = async (changed: string): Promise<void> => {
    await files.write(new Map([['a.yaml', changed]]));
    await ingester.flushed();
  };
  return { ingester, files, fatal, write };
}

/** As when it is killed, then started with this file. */
async function restart(cluster: string, old: Running, text: string): Promise<Running> {
  running = running.filter((one) => one !== old.ingester);
  await old.ingester.stop(AbortSignal.abort());
  return start(cluster, text);
}

async function recordsIn(topic: string, partition: number): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  const stop = new AbortController();
  for await (const batch of log.read(topic, partition, undefined, stop.signal)) {
    records.push(...batch.records);
    if (batch.caughtUp) break;
  }
  stop.abort();
  return records;
}

/** Keys that a reader holds, of one cluster; without those that are always there. */
async function keysOf(cluster: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for (const { topic, partition } of places) {
    const fold = new Fold();
    const records = await recordsIn(topic, partition);
    const position = { topicId: '', offset: 0 };
    fold.apply({ reset: 'no-position', records, position, caughtUp: true });
    for (const [key] of fold.entries()) keys.push(key);
  }
  return keys
    .filter((key) => key.split('|').includes(cluster))
    .filter((key) => !key.includes('|mesh|') && !key.includes('|source|'))
    .sort();
}

/** Of all compacted topics: claims not counted. */
async function countRecords(): Promise<number> {
  const all = await Promise.all(places.map((at) => recordsIn(at.topic, at.partition)));
  return all.flat().filter(({ key }) => !isClaimKey(key)).length;
}

const sliceOf = (name: string): string => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}-1, namespace: shop, labels: { kubernetes.io/service-name: ${name} } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.0.0.1] }]
`;

const cart = service('cart') + sliceOf('cart');
const pay = service('pay') + sliceOf('pay');
const keys = (cluster: string, ...names: readonly string[]): readonly string[] =>
  names
    .flatMap((name) => [
      `${cluster}|service|shop|${name}`,
      `${name}.shop.svc.cluster.local|${cluster}|slice|shop|${name}-1`,
    ])
    .sort();

describe('the ingesters of two clusters on one log', () => {
  test('write side by side, also what has the same name', async () => {
    const [east, west] = [await start('east', cart), await start('west', cart + pay)];
    expect(await keysOf('east')).toEqual(keys('east', 'cart'));
    expect(await keysOf('west')).toEqual(keys('west', 'cart', 'pay'));
    await Promise.all([east.write(pay), west.write(pay)]);
    expect(await keysOf('east')).toEqual(keys('east', 'pay'));
    expect(await keysOf('west')).toEqual(keys('west', 'pay'));
    expect([...east.fatal, ...west.fatal]).toEqual([]);
  });

  test('are each fenced by their own successor, and by no other', async () => {
    const [old, west] = [await start('east', cart), await start('west', cart)];
    const east = await start('east', cart);
    await vi.waitFor(() => expect(old.fatal).toMatchObject([{ code: 'fenced' }]));
    await east.write(pay);
    await west.write(pay);
    expect([...east.fatal, ...west.fatal]).toEqual([]);
    expect(await keysOf('east')).toEqual(keys('east', 'pay'));
    expect(await keysOf('west')).toEqual(keys('west', 'pay'));
  });

  test('restart without a word about what the other has, nor about what is the same', async () => {
    const [east, west] = [await start('east', cart + pay), await start('west', cart)];
    const before = await countRecords();
    await restart('east', east, cart + pay);
    expect(await countRecords()).toBe(before);
    await west.write(cart + pay);
    expect(await keysOf('west')).toEqual(keys('west', 'cart', 'pay'));
  });

  test('hold a mass deletion of their own, and the other goes on', async () => {
    const east = await start('east', services(0, 40));
    const west = await start('west', services(0, 40));
    await east.write('');
    expect(east.ingester.held().length).toBe(40);
    expect(west.ingester.held()).toEqual([]);
    await west.write(services(0, 39));
    expect((await keysOf('east')).length).toBe(40);
    expect((await keysOf('west')).length).toBe(39);
    east.ingester.confirm();
    await east.ingester.flushed();
    expect(await keysOf('east')).toEqual([]);
    expect((await keysOf('west')).length).toBe(39);
  });
});

describe('a log that one ingester had whole, as versions before several could', () => {
  /** Makes of what an ingester wrote what such a version would have written. */
  async function writtenBefore(cluster: string, text: string): Promise<readonly OwnedPartition[]> {
    const now = await start(cluster, text);
    const last = await Promise.all(places.map((at) => recordsIn(at.topic, at.partition)));
    running = running.filter((one) => one !== now.ingester);
    await now.ingester.stop(AbortSignal.timeout(5_000));
    await log.close();
    await rm(join(folder, 'log'), { recursive: true });
    log = await openLog(join(folder, 'log'), partitions.endpoints);
    return Promise.all(
      places.map(async (at, index) => {
        const whole = await OwnedPartition.open({ ...at, log, writer: 'old', time: systemTime });
        const records = (last[index] ?? []).filter(({ key }) => !isClaimKey(key));
        await whole.write(records);
        return whole;
      }),
    );
  }

  test('is taken over by its cluster: what is the same is not written again', async () => {
    const old = await writtenBefore('east', cart + pay);
    const before = await countRecords();
    const east = await start('east', cart + pay);
    expect(await countRecords()).toBe(before);
    await vi.waitFor(() => expect(old.every(({ lost }) => lost.aborted)).toBe(true));
    await east.write(pay);
    expect(await keysOf('east')).toEqual(keys('east', 'pay'));
    const again = await restart('east', east, cart);
    expect(await keysOf('east')).toEqual(keys('east', 'cart'));
    expect(again.fatal).toEqual([]);
    await Promise.all(old.map((one) => one.close()));
  });

  test('is not touched by another cluster, which can come first', async () => {
    const old = await writtenBefore('east', cart);
    await Promise.all(old.map((one) => one.close()));
    const west = await start('west', pay);
    expect(await keysOf('east')).toEqual(keys('east', 'cart'));
    const east = await start('east', pay);
    expect(await keysOf('east')).toEqual(keys('east', 'pay'));
    expect(await keysOf('west')).toEqual(keys('west', 'pay'));
    expect([...east.fatal, ...west.fatal]).toEqual([]);
  });
});
