import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { LogError, type Log } from '@watershed/log/port.ts';
import { HealthCheckRequest, HealthCheckResponse } from '@watershed/proto/grpc/health/v1/health.ts';
import { sleep } from '@watershed/runtime/clock.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { afterEach, expect, it } from 'vitest';
import { CDS, EDS, LDS } from './session/support.ts';
import { contentOf, DeltaClient, SotwClient } from './support/client.ts';
import { callUnary } from './support/rpc.ts';
import { LeapingTime } from './support/leaping-time.ts';
import { scopeOfNode } from './support/scope.ts';
import { loggerInto, run, until, type Running } from './support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const shop = { [CDS]: { a: '1', b: '1' }, [EDS]: { a: '1', b: '1' }, [LDS]: { l: '1' } };

const standInAfterMs = 15_000;

const dirs: string[] = [];
const open: { close(): void }[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

/** Serves a client once, and stops: what was served is on disk. */
async function served(coldDir: string): Promise<{ readonly cdsVersion: string }> {
  const first = await run({ coldAfterMs: 100, coldDir });
  await first.translator.publish(shop, scopes);
  const client = new SotwClient(first.port);
  client.request(CDS);
  const { versionInfo } = await client.next();
  client.close();
  await first.stop();
  return { cdsVersion: versionInfo };
}

function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cold-'));
  dirs.push(dir);
  return dir;
}

/** A log that is not there. */
const gone: Partial<Log> = {
  // eslint-disable-next-line require-yield
  async *read() {
    throw new LogError('unavailable', 'gone', { retriable: true });
  },
  append: () => Promise.reject(new LogError('unavailable', 'gone', { retriable: true })),
};

it('serves a new proxy the last known full set while the log is gone, and says that it is not ready', async () => {
  const coldDir = temporary();
  await served(coldDir);
  running = await run({ coldAfterMs: 100, coldDir, log: gone });
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
  expect(running.readiness.missing).toEqual(['pusher']);
});

it('holds a proxy whose scope was never served here', async () => {
  const coldDir = temporary();
  await served(coldDir);
  running = await run({ coldAfterMs: 100, coldDir, log: gone });
  const client = new DeltaClient(running.port, {
    id: 'sidecar~10.0.0.9~x.other~other.svc.cluster.local',
    metadata: {},
  });
  open.push(client);
  client.request(CDS);
  expect(await client.quiet(300)).toBe(true);
});

it('is ready on what it served last where the log stays away, and says how old that is', async () => {
  const coldDir = temporary();
  await served(coldDir);
  const time = new LeapingTime();
  const readiness = new Readiness();
  const options = { logger: loggerInto([]), time };
  readiness.dependency('the log', options).failed(new Error('gone'));
  running = await run({ time, coldAfterMs: 20, standInAfterMs, coldDir, log: gone, readiness });
  const { metrics } = running;
  expect(readiness.ready).toBe(false);
  time.leap(standInAfterMs);
  await until('it is ready', () => readiness.ready);
  expect(readiness.missing).toEqual(['pusher']);
  expect(readiness.remarks).toEqual([
    expect.stringMatching(/^the log is away for \d\d s \(gone\)$/u),
  ]);
  const heard = /^watershed_log_heard_timestamp_seconds (\S+)$/mu.exec(await metrics.text());
  expect(Number(heard?.[1])).toBeGreaterThan(Date.now() / 1_000 - 60);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
});

it('keeps what it has never kept before within seconds: a crash may come soon', async () => {
  const coldDir = temporary();
  running = await run({ coldDir });
  await running.translator.publish(shop, scopes);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
  await until('it is on disk', () => readdirSync(join(coldDir, 'scopes')).length === 1);
});

it('sends proxies on then whose scope was never served here: another pusher may have it', async () => {
  const coldDir = temporary();
  await served(coldDir);
  const time = new LeapingTime();
  running = await run({ time, coldAfterMs: 20, standInAfterMs, coldDir, log: gone });
  const { readiness, port, pusher } = running;
  const stranger = { id: 'sidecar~10.0.0.9~x.other~other.svc.cluster.local', metadata: {} };
  const comes = (): DeltaClient => {
    const client = new DeltaClient(port, stranger);
    open.push(client);
    client.request(CDS);
    return client;
  };
  const early = comes();
  await until('it has come', () => pusher.hub.streams.size === 1);
  expect(readiness.ready).toBe(false);
  time.leap(standInAfterMs);
  expect(await early.ended()).toMatchObject({ code: status.UNAVAILABLE });
  await until('it is ready', () => readiness.ready);
  expect(await comes().ended()).toMatchObject({ code: status.UNAVAILABLE });
});

it('is not ready where the log stays away and nothing was served before', async () => {
  const time = new LeapingTime();
  const coldDir = temporary();
  running = await run({ time, coldAfterMs: 20, standInAfterMs, coldDir, log: gone });
  time.leap(standInAfterMs);
  // What is due comes first.
  await sleep(time, 10);
  expect(running.readiness.ready).toBe(false);
});

it('is not ready before the blob store has worked once, where nothing was served before', async () => {
  const store = Promise.withResolvers<void>();
  const blobs = Object.assign(memoryBlobs(), { reached: store.promise });
  running = await run({ coldDir: temporary(), blobs });
  const { readiness, port } = running;
  await until('the log is read', () => !readiness.missing.includes('pusher'));
  expect(readiness.missing).toEqual(['pusher-blobs']);
  const rpc = {
    path: '/grpc.health.v1.Health/Check',
    request: HealthCheckRequest,
    response: HealthCheckResponse,
  };
  const serves = async (): Promise<boolean> =>
    (await callUnary(port, rpc, { service: '' })).status === 1;
  expect(await serves()).toBe(false);
  store.resolve();
  await until('it is ready', () => readiness.ready);
  expect(await serves()).toBe(true);
});

it('is ready on what it served last where the blob store was never reached, and serves it', async () => {
  const coldDir = temporary();
  await served(coldDir);
  const away = (): Promise<never> => Promise.reject(new Error('away'));
  const blobs = Object.assign(memoryBlobs(), { reached: new Promise<void>(() => {}), get: away });
  running = await run({ coldAfterMs: 20, coldDir, blobs });
  const { readiness, port } = running;
  await until('it is ready', () => readiness.ready);
  const client = new DeltaClient(port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
});

it('is ready as ever once the log is there', async () => {
  const there = Promise.withResolvers<Log>();
  const coldDir = temporary();
  await served(coldDir);
  running = await run({
    ...{ coldAfterMs: 20, standInAfterMs: 200, coldDir },
    log: {
      read: async function* read(...args) {
        yield* (await there.promise).read(...args);
      },
    },
  });
  const { readiness, translator } = running;
  await translator.publish({ ...shop, [CDS]: { a: '2', b: '1' } }, scopes);
  await until('it is ready', () => readiness.ready);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  const first = await client.next();
  expect(contentOf(first)).toEqual(shop[CDS]);
  client.ack(first);
  there.resolve(translator.log);
  await until('all is there', () => readiness.missing.length === 0);
  expect(readiness.ready).toBe(true);
  expect(contentOf(await client.next())).toEqual({ a: '2' });
});

it('prefers what the log says, as soon as it says it', async () => {
  const coldDir = temporary();
  await served(coldDir);
  const time = new LeapingTime();
  running = await run({ time, coldAfterMs: 10_000, coldDir });
  await running.translator.publish({ ...shop, [CDS]: { a: '2', b: '1' } }, scopes);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual({ a: '2', b: '1' });
  time.leap(10_000);
  expect(await client.quiet(300)).toBe(true);
});

it('takes a state-of-the-world client with a version of before the restart make-before-break', async () => {
  const coldDir = temporary();
  const { cdsVersion } = await served(coldDir);
  running = await run({ coldAfterMs: 10_000, coldDir });
  await running.translator.publish(
    { ...shop, [CDS]: { a: '1', c: '1' }, [EDS]: { a: '1', c: '1' } },
    scopes,
  );
  const client = new SotwClient(running.port);
  open.push(client);
  client.request(CDS, [], { versionInfo: cdsVersion });
  client.request(LDS, [], { versionInfo: 'unknown' });
  const added = await client.next();
  expect(contentOf(added)).toEqual({ a: '1', b: '1', c: '1' });
  client.ack(added);
  const listeners = await client.next();
  expect(listeners.typeUrl).toBe(LDS);
  client.ack(listeners);
  expect(contentOf(await client.next())).toEqual({ a: '1', c: '1' });
});

it('ignores files that are damaged', async () => {
  const coldDir = temporary();
  await served(coldDir);
  for (const name of readdirSync(join(coldDir, 'scopes'))) {
    writeFileSync(join(coldDir, 'scopes', name), 'no such thing');
  }
  writeFileSync(join(coldDir, 'selectors'), '');
  running = await run({ coldAfterMs: 100, coldDir });
  await running.translator.publish(shop, scopes);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
  await until('the damaged file is gone', () => readdirSync(join(coldDir, 'scopes')).length <= 1);
});

it('serves proxies that came long before the log, though it served nothing before', async () => {
  const there = Promise.withResolvers<Log>();
  running = await run({
    coldAfterMs: 20,
    log: {
      read: async function* read(...args) {
        yield* (await there.promise).read(...args);
      },
    },
  });
  await running.translator.publish(shop, scopes);
  const client = new DeltaClient(running.port);
  open.push(client);
  client.request(CDS);
  const { streams } = running.pusher.hub;
  await until('the proxy is known', () => [...streams].some(({ node }) => node !== undefined));
  await new Promise((resolve) => {
    setTimeout(resolve, 60);
  });
  there.resolve(running.translator.log);
  expect(contentOf(await client.next())).toEqual(shop[CDS]);
});
