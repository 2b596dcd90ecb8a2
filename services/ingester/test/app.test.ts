/** The whole ingester: files on disk in, records of the embedded log out. */
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedLog, type EmbeddedLog } from '@watershed/log/embedded.ts';
import { Fold } from '@watershed/log/fold.ts';
import type { LogRecord } from '@watershed/log/port.ts';
import { encodeEpoch, epochHeader, isClaimKey } from '@watershed/log/ownership.ts';
import { Event } from '@watershed/model/gen/model.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import type { Span, SpanOptions, Tracing } from '@watershed/runtime/tracing.ts';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createIngester, type Ingester } from '../src/app.ts';
import { configuredSources } from '../src/sources/configured.ts';
import { validate } from '../src/validate.ts';
import { allKinds } from './kinds/all-kinds.ts';
import { openLog, sealing, service, serviceKey, services, settings } from './support.ts';

const partitions = { endpoints: 4, history: 1 };
const times = { quietMs: 20, emptyQuietMs: 100, maxWaitMs: 1_000, rescanMs: 200 };

let folder = '';
let config = '';
let log: EmbeddedLog;
let running: Ingester[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ingester-'));
  config = join(folder, 'config');
  await mkdir(config);
  log = await openLog(join(folder, 'log'), partitions.endpoints);
});

afterEach(async () => {
  for (const ingester of running) await ingester.stop(AbortSignal.timeout(5_000));
  running = [];
  await log.close();
  await rm(folder, { recursive: true });
});

/** Names each span by its number, as a collector would see it. */
class Spans implements Tracing {
  readonly ended: string[] = [];
  #count = 0;

  start(name: string, _options?: SpanOptions): Span {
    const traceparent = `00-${'0'.repeat(31)}1-${String(++this.#count).padStart(16, '0')}-01`;
    return {
      traceparent,
      recording: true,
      set: () => undefined,
      fail: () => undefined,
      end: () => void this.ended.push(name),
    };
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}

interface Running {
  readonly ingester: Ingester;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  readonly fatal: unknown[];
  readonly spans: Spans;
  /** Lines of the log, as JSON. */
  readonly logged: readonly string[];
  stop(signal?: AbortSignal): Promise<void>;
}

interface StartOptions {
  readonly configDirs?: readonly string[];
  readonly meshConfig?: string;
  readonly isAwaited?: boolean;
  readonly own?: Partial<typeof times>;
}

async function start({
  configDirs = [config],
  meshConfig,
  isAwaited = true,
  own = {},
}: StartOptions = {}): Promise<Running> {
  const metrics = new Metrics();
  const readiness = new Readiness();
  const fatal: unknown[] = [];
  const spans = new Spans();
  const logged: string[] = [];
  const logging = new Logging({
    scopes: ['ingester'],
    levels: 'info',
    json: true,
    clock: systemTime,
    write: (line) => logged.push(line),
  });
  const ingester = createIngester({
    log,
    sources: configuredSources({
      configDirs,
      meshConfig,
      time: systemTime,
      times: { ...times, ...own },
    }),
    kinds: allKinds,
    settings,
    partitions,
    writer: 'test',
    sealing,
    time: systemTime,
    logger: logging.scope('ingester'),
    metrics,
    tracing: spans,
    readiness,
    onFatal: (error) => fatal.push(error),
  });
  running.push(ingester);
  await ingester.start();
  if (isAwaited) await ingester.synced;
  const stop = async (signal = AbortSignal.timeout(5_000)): Promise<void> => {
    running = running.filter((other) => other !== ingester);
    await ingester.stop(signal);
  };
  return { ingester, metrics, readiness, fatal, spans, logged, stop };
}

async function recordsOf(topic: string, partition: number): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  const stop = new AbortController();
  for await (const batch of log.read(topic, partition, undefined, stop.signal)) {
    records.push(...batch.records.filter(({ key }) => !isClaimKey(key)));
    if (batch.caughtUp) break;
  }
  stop.abort();
  return records;
}

/** What a reader holds: `topic key` → the event as JSON. */
async function folded(): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  const read = async (topic: string, partition: number): Promise<void> => {
    const fold = new Fold();
    const stop = new AbortController();
    for await (const batch of log.read(topic, partition, undefined, stop.signal)) {
      fold.apply(batch);
      if (fold.caughtUp) break;
    }
    stop.abort();
    for (const [key, value] of fold.entries()) {
      all[`${topic} ${key}`] = Event.toJSON(Event.decode(value));
    }
  };
  await read('config', 0);
  for (let at = 0; at < partitions.endpoints; at++) await read('endpoints', at);
  return all;
}

const keysOf = async (): Promise<string[]> => Object.keys(await folded()).sort();
const write = (name: string, text: string): Promise<void> => writeFile(join(config, name), text);
const until = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 10_000, interval: 20 });

function pageOf({ pages }: Ingester, path: string, query = ''): unknown {
  const found = pages.find((candidate) => candidate.path === path);
  return found?.handle({ method: 'POST', query: new URLSearchParams(query), body: '' });
}

const slice = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: cart-1, namespace: shop, labels: { kubernetes.io/service-name: cart } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.0.0.1] }]
`;
const sliceKey = 'endpoints cart.shop.svc.cluster.local|one|slice|shop|cart-1';
const always = ['config one|mesh||default', 'config one|source||default'];

test('all files are on the log, then the source is marked, then it is ready', async () => {
  await write('a.yaml', service('cart') + slice);
  const { readiness } = await start();
  expect(readiness.ready).toBe(true);
  expect(await keysOf()).toEqual([...always, serviceKey('cart'), sliceKey].sort());
  const records = await recordsOf('config', 0);
  expect(records.at(-1)?.key).toBe('one|source||default');
});

test('the log counts as many objects as xdsctl validate', async () => {
  await write('a.yaml', service('cart') + slice + service('refused', 0));
  const { logged } = await start();
  const line = logged.find((text) => text.includes('all sources are on the log')) ?? '';
  const { objects } = await validate({ paths: [config], settings, time: systemTime });
  expect(JSON.parse(line)).toMatchObject({ objects });
  expect(objects).toBe(3);
});

test('a record says where it comes from, and history has the same records', async () => {
  await write('a.yaml', service('cart') + slice);
  await start();
  const record = (await recordsOf('config', 0)).find(({ key }) => key.includes('|cart'));
  expect(record?.headers).toMatchObject({
    schema: '1',
    object: '/Service/shop/cart',
    unit: join(config, 'a.yaml'),
    'source-version': expect.stringMatching(/^[0-9a-f]{16}$/),
    traceparent: expect.stringMatching(/^00-/),
  });
  const history = await recordsOf('history', 0);
  expect(history.map(({ key, headers }) => `${headers['topic']} ${key}`).sort()).toEqual(
    await keysOf(),
  );
});

test('a change of a file is one record', async () => {
  await write('a.yaml', services(0, 10));
  const { spans, ingester } = await start();
  const before = (await log.end('config', 0)).offset;
  await write('a.yaml', services(0, 9) + service('s9', 81));
  await until(async () => {
    expect((await folded())[serviceKey('s9')]).toMatchObject({
      service: { ports: [{ number: 81 }] },
    });
  });
  expect((await log.end('config', 0)).offset).toBe(before + 1);
  await ingester.flushed();
  await until(() => expect(spans.ended.length).toBeGreaterThan(2));
});

test('silences cost no record and no trace, and each is counted', async () => {
  const annotated = (value: string): string =>
    service('cart', 80, `annotations: { note: "${value}" }`);
  await write('a.yaml', annotated('1'));
  const { ingester, metrics, spans } = await start();
  await ingester.flushed();
  const traced = spans.ended.length;
  const before = (await log.end('config', 0)).offset;
  const count = (silence: string): Promise<number> =>
    metrics.value('watershed_ingest_silences_total', { silence });
  await write('a.yaml', annotated('2'));
  await until(async () => expect(await count('event')).toBe(1));
  await write('a.yaml', `# a comment\n${annotated('2')}`);
  await until(async () => expect(await count('object')).toBe(1));
  await write('a.tmp', `# a comment\n${annotated('2')}`);
  await rename(join(config, 'a.tmp'), join(config, 'a.yaml'));
  await until(async () => expect(await count('unit')).toBe(1));
  expect((await log.end('config', 0)).offset).toBe(before);
  await ingester.flushed();
  expect(spans.ended.length).toBe(traced);
});

test("objects that come, change, go or are refused are counted by istiod's names", async () => {
  await write('a.yaml', service('cart') + service('shop') + slice);
  const { metrics } = await start();
  const seen = (type: string, event: string): Promise<number> =>
    metrics.value('pilot_k8s_reg_events', { type, event });
  expect([await seen('Service', 'add'), await seen('EndpointSlice', 'add')]).toEqual([2, 1]);
  await write('a.yaml', service('cart', 81) + slice);
  await until(async () => expect(await seen('Service', 'delete')).toBe(1));
  expect([await seen('Service', 'update'), await seen('EndpointSlice', 'update')]).toEqual([1, 0]);
  const resource = { group: '', version: 'v1', resource: 'Service' };
  expect(await metrics.value('galley_validation_passed', resource)).toBe(3);
  const rule =
    'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: bad }\n';
  await write(
    'b.yaml',
    `${rule}spec: { hosts: 7 }\n---\n${rule.replaceAll('VirtualService', 'Odd')}`,
  );
  const failed = (reason: string): Promise<number> =>
    metrics.value('galley_validation_failed', { reason });
  await until(async () => expect(await failed('invalid_resource')).toBe(1));
  expect(await failed('unknown_type')).toBe(1);
  const type = 'VirtualService';
  expect(await metrics.value('pilot_total_rejected_configs', { type, name: '' })).toBe(1);
  expect(await metrics.value('pilot_k8s_cfg_events', { type, event: 'add' })).toBe(1);
});

test('a restart appends nothing where nothing changed', async () => {
  await write('a.yaml', services(0, 10) + slice);
  const first = await start();
  await first.stop();
  const before = await recordsOf('config', 0);
  const { metrics } = await start();
  expect(await recordsOf('config', 0)).toEqual(before);
  expect(await metrics.value('watershed_ingest_silences_total', { silence: 'log' })).toBe(13);
});

test('a restart appends the difference: tombstones for files that are gone', async () => {
  await write('a.yaml', service('cart') + slice);
  await write('b.yaml', service('shop'));
  const first = await start();
  await first.stop();
  await rm(join(config, 'a.yaml'));
  await write('c.yaml', service('ops'));
  const before = (await recordsOf('config', 0)).length;
  await start();
  expect(await keysOf()).toEqual([...always, serviceKey('ops'), serviceKey('shop')].sort());
  expect(
    (await recordsOf('config', 0)).slice(before).map(({ key, value }) => [key, value?.length]),
  ).toEqual([
    ['one|service|shop|ops', expect.any(Number)],
    ['one|service|shop|cart', undefined],
  ]);
});

test('what nobody can know of a key of the cluster is taken back, so that all readers agree', async () => {
  // Of an owner of before an old copy of the log was put back: a reader that has read more than the
  // copy has may still hold a value.
  const key = 'one|service|shop|gone';
  const headers = { [epochHeader]: encodeEpoch(1_000, { part: 0, value: 'one' }) };
  await log.append([{ topic: 'config', partition: 0, key, value: undefined, headers }]);
  await start();
  const last = (await recordsOf('config', 0)).findLast((record) => record.key === key);
  expect(last?.value).toBeUndefined();
  expect(last?.headers[epochHeader]).not.toBe(headers[epochHeader]);
});

test('a mass deletion is held, shown, and released by the page that xdsctl asks', async () => {
  await write('a.yaml', services(0, 30));
  const { ingester, metrics } = await start();
  // There before anything is held: else a dashboard has no data, which is not the same.
  expect(await metrics.text()).toMatch(/^watershed_held_deletions\{source=".+"\} 0$/mu);
  await rm(join(config, 'a.yaml'));
  await until(() => expect(ingester.held()).toHaveLength(30));
  const gauge = (): Promise<number> => metrics.value('watershed_held_deletions');
  expect(await gauge()).toBe(30);
  expect(await keysOf()).toHaveLength(32);
  const page = (path: string, query = '') => pageOf(ingester, path, query);
  expect(page('/debug/heldz')).toHaveLength(30);
  expect(page('/debug/diagnosticz')).toHaveLength(30);
  await expect(page('/debug/confirm', 'source=nobody')).rejects.toThrow(
    'nothing of "nobody" is held',
  );
  expect(await page('/debug/confirm')).toMatch(
    /^released the deletion of 30 objects:\n {2}Service shop/,
  );
  // Durable when it answers.
  expect(await keysOf()).toEqual(always);
  expect(await page('/debug/confirm')).toBe('nothing is held\n');
  expect(await gauge()).toBe(0);
});

test('an object whose event is too large for the log is shown as refused, and why, until one fits', async () => {
  await log.close();
  log = await openEmbeddedLog({
    dir: join(folder, 'log'),
    time: systemTime,
    maxRecordBytes: 2_000,
  });
  const ports = Array.from({ length: 200 }, (_, at) => `{ name: p${at}, port: ${at + 1} }`);
  const large = service('cart').replace(/ports: .*\]/u, `ports: [${ports.join(', ')}]`);
  await write('a.yaml', service('cart'));
  const { ingester, logged } = await start();
  const shown = () => pageOf(ingester, '/debug/configz');
  const cart = { kind: 'Service', metadata: { name: 'cart', namespace: 'shop' } };
  for (let round = 0; round < 2; round++) {
    await write('a.yaml', large);
    const reason = expect.stringMatching(/^the log does not take its event: /u);
    const refused = expect.objectContaining({ ...cart, state: 'refused', reason });
    await until(() => expect(shown()).toContainEqual(refused));
    expect(await folded()).toMatchObject({ [serviceKey('cart')]: { service: { ports: [{}] } } });
    // What the log has never left it.
    await write('a.yaml', service('cart'));
    await until(() => expect(ingester.diagnostics()).toEqual([]));
    expect(shown()).toContainEqual(expect.objectContaining({ ...cart, state: 'good' }));
  }
  await write('a.yaml', large);
  await until(() => expect(ingester.diagnostics()).toHaveLength(2));
  await write('a.yaml', '');
  await until(() => expect(ingester.diagnostics()).toEqual([]));
  expect(await keysOf()).toEqual(always);
  await until(() => expect(logged.at(-1)).toContain('is over'));
});

test('a directory that vanishes takes nothing with it, and its return tells readers nothing', async () => {
  await write('a.yaml', service('cart'));
  const { ingester, readiness } = await start();
  const before = (await log.end('config', 0)).offset;
  const held = await folded();
  await rename(config, join(folder, 'away'));
  await until(() => expect(ingester.held()).toHaveLength(1));
  expect(ingester.diagnostics().map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    'Service cart',
    `Source files:${config}`,
  ]);
  expect(readiness.ready).toBe(true);
  expect(readiness.remarks).toEqual([expect.stringContaining('does not exist')]);
  await rename(join(folder, 'away'), config);
  await until(() => expect(ingester.held()).toEqual([]));
  expect(readiness.remarks).toEqual([]);
  expect(ingester.diagnostics()).toEqual([]);
  await ingester.flushed();
  expect((await log.end('config', 0)).offset).toBe(before);
  expect(await folded()).toEqual(held);
});

test('what is held stays held when the process is started again', async () => {
  const some = (from: number, to: number): string =>
    Array.from({ length: to - from }, (_, at) => service(`s${from + at}`)).join('');
  await write('a.yaml', some(0, 40));
  await write('b.yaml', some(40, 60));
  const first = await start();
  const keys = await keysOf();
  await write('a.yaml', some(0, 10));
  await until(() => expect(first.ingester.held()).toHaveLength(30));
  await write('a.yaml', some(0, 30));
  await until(() => expect(first.ingester.held()).toHaveLength(10));
  await first.ingester.flushed();
  await first.ingester.stop(new AbortController().signal);
  const second = await start();
  expect(second.ingester.held()).toHaveLength(10);
  expect(await keysOf()).toEqual(keys);
});

test('files that are moved from one directory to another are never away', async () => {
  const other = join(folder, 'other');
  await mkdir(other);
  await writeFile(join(other, 'shop.yaml'), service('shop'));
  const names = Array.from({ length: 10 }, (_, at) => `s${at}`);
  for (const name of names) await write(`${name}.yaml`, service(name));
  const { ingester } = await start({
    configDirs: [config, other],
    // What is gone is left alone for two seconds longer, so a busy machine may take as long.
    own: { quietMs: 1_000, maxWaitMs: 60_000 },
  });
  const before = (await log.end('config', 0)).offset;
  for (const name of names) {
    await rename(join(config, `${name}.yaml`), join(other, `${name}.yaml`));
  }
  const moved = names.map((name) => `${join(other, `${name}.yaml`)}:2`);
  await until(() => {
    expect(pageOf(ingester, '/debug/configz')).toEqual(
      expect.arrayContaining(moved.map((origin) => expect.objectContaining({ origin }))),
    );
  });
  await ingester.stop(AbortSignal.timeout(5_000));
  expect((await log.end('config', 0)).offset).toBe(before);
});

test('a directory that is absent at the start is waited for where the log has nothing of it, and /ready says why', async () => {
  await write('a.yaml', service('cart'));
  const other = join(folder, 'other');
  const first = await start();
  await first.stop();
  const second = await start({ configDirs: [config, other], isAwaited: false });
  await until(() => expect(second.ingester.diagnostics()).toHaveLength(1));
  expect(second.readiness.missing).toEqual(['ingester-sources', 'ingester-records']);
  expect(second.readiness.remarks).toEqual([
    expect.stringMatching(
      /^files:.* is away for \d+ s \(.*other does not exist; it is waited for\)$/u,
    ),
  ]);
  expect(await keysOf()).toContain(serviceKey('cart'));
  await mkdir(other);
  await second.ingester.synced;
  expect(second.readiness.remarks).toEqual([]);
  expect(await keysOf()).toEqual([...always, serviceKey('cart')].sort());
});

test('a directory that is absent at a restart keeps what it held, and edits elsewhere are served', async () => {
  const other = join(folder, 'other');
  const configDirs = [config, other];
  await mkdir(other);
  await writeFile(join(other, 'a.yaml'), service('cart'));
  await write('b.yaml', service('shop'));
  const first = await start({ configDirs });
  await first.stop();
  await rename(other, join(folder, 'away'));
  const { ingester, readiness } = await start({ configDirs });
  const remark = expect.stringContaining(`(${other} does not exist; what it held stays)`);
  expect([readiness.ready, readiness.remarks]).toEqual([true, [remark]]);
  expect(ingester.diagnostics().map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    `File ${other}`,
    'Service cart',
    `Source files:${other}`,
  ]);
  await write('b.yaml', service('ops'));
  const served = [...always, serviceKey('cart'), serviceKey('ops')].sort();
  await until(async () => expect(await keysOf()).toEqual(served));
  // As where it goes while the process runs.
  expect(ingester.held()).toMatchObject([{ reason: `${other} does not exist` }]);
  const held = expect.objectContaining({ kind: 'Service', state: 'held' });
  expect(pageOf(ingester, '/debug/configz')).toContainEqual(held);
  const before = (await log.end('config', 0)).offset;
  await rename(join(folder, 'away'), other);
  await until(() => expect(ingester.diagnostics()).toEqual([]));
  expect(readiness.remarks).toEqual([]);
  await ingester.flushed();
  expect((await log.end('config', 0)).offset).toBe(before);
  await rm(join(other, 'a.yaml'));
  await until(async () => expect(await keysOf()).toEqual([...always, serviceKey('ops')].sort()));
});

describe('the directories that a MeshConfig file names', () => {
  let mesh = '';
  let options: StartOptions = {};
  /** Objects by the directory that they lie in. */
  const lies = async (directory: string, text: string): Promise<void> => {
    await mkdir(join(folder, directory), { recursive: true });
    await writeFile(join(folder, directory, 'a.yaml'), text);
  };
  const names = (...directories: string[]): Promise<void> => {
    const entries = directories.map((one) => `{ address: "fs://${folder}/${one}" }`);
    return writeFile(mesh, `trustDomain: example.org\nconfigSources: [${entries.join(', ')}]\n`);
  };
  const served = async (): Promise<string> =>
    (await keysOf()).flatMap((key) => /\|service\|shop\|(.*)/u.exec(key)?.[1] ?? []).join(' ');
  const told = ({ ingester }: Running): readonly string[] =>
    ingester.diagnostics().map(({ kind, name, reason }) => `${kind} ${name} ${reason}`);

  beforeEach(() => {
    mesh = join(folder, 'mesh.yaml');
    options = { configDirs: [], meshConfig: mesh };
  });

  test('are followed: one that is added is read, one that is taken away goes', async () => {
    await lies('x', service('cart'));
    await lies('y', service('shop'));
    await names('x');
    await start(options);
    expect(await served()).toBe('cart');
    await names('x', 'y');
    await until(async () => expect(await served()).toBe('cart shop'));
    await names('y');
    await until(async () => expect(await served()).toBe('shop'));
    await lies('y', service('ops'));
    await until(async () => expect(await served()).toBe('ops'));
  });

  test('are read before others are left: what has moved is never away', async () => {
    await lies('x', service('cart'));
    await names('x');
    const first = await start(options);
    const before = (await log.end('config', 0)).offset;
    await names('later');
    const remark = expect.stringContaining(`(${folder}/later does not exist; it is waited for)`);
    await until(() => expect(first.readiness.remarks).toEqual([remark]));
    await lies('x', service('cart', 81));
    await until(async () => expect((await log.end('config', 0)).offset).toBe(before + 1));
    await mkdir(join(folder, 'made'));
    await writeFile(join(folder, 'made', 'b.yaml'), service('cart', 81));
    await rename(join(folder, 'made'), join(folder, 'later'));
    await until(() => expect(first.readiness.remarks).toEqual([]));
    await writeFile(join(folder, 'later', 'b.yaml'), service('cart', 82));
    await until(async () => expect((await log.end('config', 0)).offset).toBe(before + 2));
    await lies('x', service('shop'));
    await writeFile(join(folder, 'later', 'b.yaml'), service('cart', 83));
    await until(async () => expect((await log.end('config', 0)).offset).toBe(before + 3));
    expect(await served()).toBe('cart');
  });

  test('that are taken away with many objects are held until it is confirmed', async () => {
    await lies('x', services(0, 30));
    await names('x');
    const { ingester } = await start(options);
    await names();
    await until(() => expect(ingester.held()).toHaveLength(30));
    await names('x');
    await until(() => expect(ingester.held()).toEqual([]));
    expect(ingester.diagnostics()).toEqual([]);
    await names();
    await until(() => expect(ingester.confirm()).toHaveLength(30));
    await until(async () => expect(await served()).toBe(''));
  });

  test('may have the file itself in one of them', async () => {
    await lies('x', service('cart'));
    await lies('y', service('shop'));
    mesh = join(folder, 'x', 'mesh.yaml');
    await names('x');
    const run = await start({ configDirs: [], meshConfig: mesh });
    await names('x', 'y');
    await until(async () => expect(await served()).toBe('cart shop'));
    expect(told(run)).toEqual([]);
    await names('y');
    await until(async () => expect(await served()).toBe('shop'));
    expect(told(run)).toEqual([]);
    expect((await folded())['config one|mesh||default']).toMatchObject({
      mesh: { trustDomain: 'example.org' },
    });
  });

  test('one in the other keep what they both have', async () => {
    await lies('x', service('cart'));
    await lies('x/y', service('shop'));
    await names('x', 'x/y');
    const { ingester } = await start(options);
    await names('x/y');
    await until(async () => expect(await served()).toBe('shop'));
    await names('x');
    await until(async () => expect(await served()).toBe('cart shop'));
    expect(ingester.diagnostics()).toEqual([]);
  });

  const unusable: readonly (readonly [string, string | undefined, RegExp])[] = [
    ['cannot be parsed', 'configSources: [', /^File \S+ Flow/],
    ['is empty', '', /^File \S+ is empty$/],
    ['is cut off', 'trustDomain: a.b\nconfigSources:', /^MeshConfig file expected a list$/],
    ['has a wrong type', 'configSources: { address: x }', /^MeshConfig file expected a list/],
    [
      'names a server',
      'configSources: [{ address: "xds://mcp:15010" }]',
      /^MeshConfig file expected a directory as fs:/,
    ],
    ['is not there', undefined, /^(File|Source) \S+ \S+ does not exist/],
    ['is a directory', '/', /^File \S+ is no file$/],
  ];
  const spoil = async (text: string | undefined): Promise<void> => {
    if (text === undefined || text === '/') await rm(mesh);
    if (text === '/') await mkdir(mesh);
    else if (text !== undefined) await writeFile(mesh, text);
  };
  const mend = async (...directories: string[]): Promise<void> => {
    await rm(mesh, { recursive: true, force: true });
    await names(...directories);
  };

  test.each(unusable)('stay those of before while the file %s', async (_, text, reason) => {
    await lies('x', service('cart'));
    await lies('y', service('shop'));
    await names('x');
    const run = await start(options);
    const before = (await log.end('config', 0)).offset;
    await spoil(text);
    await until(() => expect(told(run)).toContainEqual(expect.stringMatching(reason)));
    await lies('x', service('cart', 81));
    await until(async () => expect((await log.end('config', 0)).offset).toBe(before + 1));
    await mend('x', 'y');
    await until(async () => expect(await served()).toBe('cart shop'));
    await until(() => expect(told(run)).toEqual([]));
    expect((await log.end('config', 0)).offset).toBe(before + 2);
  });

  test.each(unusable)('are those of before at a restart when it %s', async (_, text, reason) => {
    await lies('x', service('cart'));
    await lies('y', service('shop'));
    await names('x');
    const first = await start(options);
    await first.stop();
    await spoil(text);
    const second = await start(options);
    const before = (await log.end('config', 0)).offset;
    expect(told(second)).toContainEqual(expect.stringMatching(reason));
    await lies('x', service('cart', 81));
    await until(async () => expect((await log.end('config', 0)).offset).toBe(before + 1));
    await mend('x', 'y');
    await until(async () => expect(await served()).toBe('cart shop'));
    await until(() => expect(told(second)).toEqual([]));
    expect((await log.end('config', 0)).offset).toBe(before + 2);
    expect(second.ingester.held()).toEqual([]);
  });

  test('may be mended at a first start that waits for one', async () => {
    await lies('x', service('cart'));
    await names('typo');
    const { ingester, readiness } = await start({ ...options, isAwaited: false });
    await until(() =>
      expect(readiness.remarks).toEqual([expect.stringContaining('typo does not')]),
    );
    await names('x');
    await ingester.synced;
    expect([await served(), readiness.remarks]).toEqual(['cart', []]);
    expect(ingester.diagnostics()).toEqual([]);
  });

  test.each(unusable)('are unknown at a first start when the file %s: it ends', async (_, text) => {
    await writeFile(mesh, '');
    await spoil(text);
    const { fatal, readiness } = await start({ ...options, isAwaited: false });
    await until(() => expect(fatal).toHaveLength(1));
    expect(String(fatal[0])).toMatch(
      /--meshConfig: ".*mesh\.yaml": (line 1: Flow|is empty|configSources.*: expected|does not exist|is no file)/,
    );
    expect(readiness.ready).toBe(false);
  });
});

test('one that has lost its records stops at once, though its appends are not answered', async () => {
  await write('a.yaml', service('cart'));
  const first = await start();
  const append = vi.spyOn(log, 'append').mockReturnValue(new Promise(() => undefined));
  await write('b.yaml', service('shop'));
  await until(() => expect(append).toHaveBeenCalled());
  append.mockRestore();
  await start();
  await until(() => expect(first.fatal).toHaveLength(1));
  // No deadline: were they waited for, it would never end.
  await first.stop(new AbortController().signal);
});

test('a second ingester of the same cluster takes over, and the first one says so', async () => {
  await write('a.yaml', service('cart'));
  const first = await start();
  const second = await start();
  await until(() => expect(first.fatal).toHaveLength(1));
  expect(describeError(first.fatal[0])).toMatch(
    /^another ingester with --clusterID \S+ has taken over; there can be one only: .* is lost: .* claimed/,
  );
  await write('a.yaml', service('cart', 81));
  await until(async () => {
    expect((await folded())[serviceKey('cart')]).toMatchObject({
      service: { ports: [{ number: 81 }] },
    });
  });
  expect(second.fatal).toEqual([]);
});
