import { EventEmitter } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { OperatingError } from '../src/errors.ts';
import type { DebugPage } from '../src/debug-pages.ts';
import { MonitoringServer, type DebugAccess } from '../src/http.ts';
import { Lifecycle, type Part } from '../src/lifecycle.ts';
import { Logging } from '../src/logger.ts';
import { watershedMetrics } from '../src/metric-names.ts';
import { pilotMetrics } from '../src/pilot-metric-names.ts';
import { Metrics, type MetricSpec } from '../src/metrics.ts';
import { Readiness } from '../src/readiness.ts';
import { VirtualTime } from '../src/virtual-time.ts';
import { tellWaiting } from '../src/waiting.ts';

const lines: string[] = [];
const logger = new Logging({
  scopes: ['test'],
  levels: 'debug',
  json: true,
  clock: new VirtualTime(),
  write: (line) => lines.push(line),
}).scope('test');

const servers: MonitoringServer[] = [];

afterEach(async () => {
  lines.length = 0;
  for (const server of servers.splice(0)) await server.stop(AbortSignal.abort());
});

async function serve(pages: readonly DebugPage[] = [], debugAccess?: DebugAccess) {
  const readiness = new Readiness();
  const metrics = new Metrics();
  const server = new MonitoringServer({
    address: { host: '127.0.0.1', port: 0 },
    version: '1.2.3',
    readiness,
    metrics,
    logger,
    pages,
    debugAccess,
  });
  await server.start();
  servers.push(server);
  return { server, readiness, metrics, port: server.address.port };
}

function call(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<{ status: number; type: string; body: string }> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {} } = options;
    const sent = httpRequest(
      { host: '127.0.0.1', port, path, method, headers, agent: false },
      (got) => {
        let body = '';
        got.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        got.once('end', () =>
          resolve({ status: got.statusCode ?? 0, type: got.headers['content-type'] ?? '', body }),
        );
      },
    );
    sent.once('error', reject);
    sent.end(options.body);
  });
}

test('of what is away /ready and a metric say since when and why, the log says it once', async () => {
  const { port, readiness, metrics } = await serve();
  const time = new VirtualTime();
  const log = readiness.awaits('the log', { logger, time });
  metrics.derivedSeries(watershedMetrics.awaySeconds, () => readiness.away);
  const away = (name: string): Promise<number> =>
    metrics.value('watershed_dependency_away_seconds', { name });
  for (let at = 0; at < 3; at++) log.failed(new Error('no broker'));
  await time.advance(2_000);
  expect(await call(port, '/ready')).toMatchObject({
    status: 503,
    body: 'not ready: waiting for the log; the log is away for 2 s (no broker)\n',
  });
  log.worked();
  expect(await call(port, '/ready')).toMatchObject({ status: 200, body: 'ready\n' });
  expect(await away('the log')).toBe(0);
  // What it was for two seconds before that was found out, and by a process before this one.
  log.failed(new Error('no answer'), time.now() - 2_000);
  log.failed(new Error('connection refused'));
  await time.advance(1_000);
  const redis = readiness.dependency('Redis', { logger, time, meanwhile: 'what is new waits' });
  redis.failed(new Error(''));
  expect(await call(port, '/ready')).toMatchObject({
    status: 200,
    body: 'ready; the log is away for 3 s (connection refused); Redis is away for 0 s (Error): what is new waits\n',
  });
  expect(await away('the log')).toBe(3);
  readiness.dependencies.get('the log')?.lastHeard(time.now() - 60_000);
  redis.lastHeard(time.now() - 60_000);
  expect(await away('the log')).toBe(60);
  log.worked();
  redis.worked();
  redis.lastHeard(time.now() - 60_000);
  expect(readiness.remarks).toEqual([]);
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { level: 'warn', msg: 'the log is away; it is tried again', reason: 'no broker' },
    { level: 'info', msg: 'the log is there' },
    { level: 'warn', msg: 'the log is away; it is tried again', reason: 'no answer' },
    { level: 'warn', msg: 'Redis is away; it is tried again', reason: 'Error' },
    { level: 'info', msg: 'the log is there' },
    { level: 'info', msg: 'Redis is there' },
  ]);
});

test('what a start waits for is in the log after 5 s, ever less often, and never again', async () => {
  const timers = new VirtualTime();
  const readiness = new Readiness();
  const started = readiness.expect('start');
  const owned = readiness.expect('translator-partitions');
  tellWaiting({ readiness, timers, logger });
  await timers.advance(4_999);
  expect(lines).toEqual([]);
  await timers.advance(1);
  started();
  await timers.advance(10_000);
  const standIn = readiness.standIn();
  await timers.advance(20_000);
  standIn();
  await timers.advance(40_000);
  owned();
  await timers.advance(3_600_000);
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { msg: 'not ready yet', seconds: 5, missing: ['start', 'translator-partitions'] },
    { msg: 'not ready yet', seconds: 15, missing: ['translator-partitions'] },
    { msg: 'not ready yet', seconds: 75, missing: ['translator-partitions'] },
  ]);
});

test('/ready says what there is to remark, ready or not', async () => {
  const { port, readiness } = await serve();
  let remark: string | undefined = '3 records are of a later schema';
  readiness.remark(() => remark);
  const body = `ready; ${remark}\n`;
  expect(await call(port, '/ready')).toMatchObject({ status: 200, body });
  const found = readiness.expect('pusher');
  expect(await call(port, '/ready')).toMatchObject({
    status: 503,
    body: `not ready: waiting for pusher; ${remark}\n`,
  });
  found();
  remark = undefined;
  expect(await call(port, '/ready')).toMatchObject({ status: 200, body: 'ready\n' });
});

test('/ready lists what is missing until nothing is', async () => {
  const { port, readiness } = await serve();
  const log = readiness.expect('log read to the end');
  const source = readiness.expect('source listed');
  expect(() => readiness.expect('source listed')).toThrow('taken');
  log();
  expect(await call(port, '/ready')).toMatchObject({
    status: 503,
    body: 'not ready: waiting for source listed\n',
  });
  const ready = readiness.whenReady();
  source();
  await ready;
  expect(await call(port, '/ready')).toMatchObject({ status: 200, body: 'ready\n' });
});

test('/version and /metrics answer, and an unknown path says where to look', async () => {
  const { port, metrics } = await serve();
  metrics.counter(pilotMetrics.pushes).with({ type: 'cds' }).add(3);
  expect(JSON.parse((await call(port, '/version')).body)).toEqual({ version: '1.2.3' });
  const scraped = await call(port, '/metrics');
  expect(scraped.type).toContain('text/plain');
  expect(scraped.body).toContain('pilot_xds_pushes{type="cds"} 3\n');
  expect(await call(port, '/nothing')).toMatchObject({ status: 404, body: 'no /nothing; see /\n' });
  expect(await call(port, '//')).toMatchObject({ status: 400 });
});

const pages: readonly DebugPage[] = [
  {
    path: '/debug/syncz',
    doc: 'Who has what.',
    handle: ({ query }) => ({ proxy: query.get('proxyID') }),
  },
  { path: '/debug/foundz', doc: 'What is found.', handle: () => ['a', 'b'] },
  { path: '/debug/foundz', doc: 'What another has found.', handle: () => ['c'] },
  { path: '/debug/confirm', doc: 'Lets go.', method: 'POST', handle: ({ body }) => `got ${body}` },
  {
    path: '/debug/broken',
    doc: 'Fails.',
    handle: ({ query }) => {
      if (query.has('mine')) throw new OperatingError('not-found', 'no such proxy');
      throw new TypeError('undefined is not a function');
    },
  },
];

test('debug pages are listed, and answer with JSON, text, or the status of an error', async () => {
  const { port } = await serve(pages);
  expect((await call(port, '/debug')).body).toContain('/debug/syncz  Who has what.\n');
  const page = await call(port, '/debug/syncz?proxyID=a.b');
  expect(page.type).toBe('application/json');
  expect(JSON.parse(page.body)).toEqual({ proxy: 'a.b' });
  expect(await call(port, '/debug/confirm', { method: 'POST', body: 'yes' })).toMatchObject({
    body: 'got yes',
  });
  expect(await call(port, '/debug/broken?mine')).toMatchObject({
    status: 404,
    body: 'no such proxy\n',
  });
  expect(lines).toEqual([]);
  expect(await call(port, '/debug/broken')).toMatchObject({ status: 500 });
  // Two parts of the process have it.
  expect(JSON.parse((await call(port, '/debug/foundz')).body)).toEqual(['a', 'b', 'c']);
  expect((await call(port, '/debug')).body.match(/foundz/gu)).toHaveLength(1);
  expect((await call(port, '/debug/list')).body.match(/foundz/gu)).toHaveLength(1);
  expect(lines.join()).toContain('a debug page failed');
});

test('a method that a path does not take is 405 with those that it does; HEAD is GET without a body', async () => {
  const { port } = await serve(pages);
  for (const [path, method, allow] of [
    ['/metrics', 'DELETE', 'GET, HEAD'],
    ['/debug', 'POST', 'GET, HEAD'],
    ['/debug/syncz', 'POST', 'GET, HEAD'],
    ['/debug/confirm', 'GET', 'POST'],
    ['/debug/confirm', 'HEAD', 'POST'],
  ] as const) {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method });
    expect([path, method, answer.status, answer.headers.get('allow')]).toEqual([
      ...[path, method, 405, allow],
    ]);
    const said = `${path} takes ${allow.replace(', ', ' and ')}, not ${method}\n`;
    expect(await answer.text()).toBe(method === 'HEAD' ? '' : said);
  }
  for (const path of ['/ready', '/debug', '/debug/syncz', '/debug/list']) {
    expect(await call(port, path, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  }
});

test('debug pages are not for web pages: not under a name, not from a form', async () => {
  const { port } = await serve(pages);
  const named = { host: `evil.example:${port}` };
  expect(await call(port, '/debug/syncz', { headers: named })).toMatchObject({ status: 403 });
  for (const host of ['localhost', `127.0.0.1:${port}`, `[::1]:${port}`]) {
    expect(await call(port, '/debug/syncz', { headers: { host } })).toMatchObject({ status: 200 });
  }
  const headers = { origin: 'http://evil.example' };
  expect(await call(port, '/debug/confirm', { method: 'POST', headers })).toMatchObject({
    status: 403,
  });
  expect(await call(port, '/version', { headers: named })).toMatchObject({ status: 200 });
});

test('debug pages are for who is let in by his token, where somebody decides that', async () => {
  const { port } = await serve(pages, (authorization) =>
    authorization === 'Bearer good'
      ? Promise.resolve()
      : Promise.reject(new OperatingError('denied', 'not you')),
  );
  // As if from another machine.
  const host = 'watershed.example';
  const ask = async (authorization?: string): Promise<unknown> => {
    const headers = { host, ...(authorization === undefined ? {} : { authorization }) };
    const { status, body } = await call(port, '/debug/syncz', { headers });
    return status === 200 ? status : [status, body];
  };
  expect(await ask('Bearer good')).toBe(200);
  expect(await ask('Bearer bad')).toEqual([403, 'not you\n']);
  expect(await ask()).toEqual([403, 'not you\n']);
});

test('what is too large is refused: headers and bodies', async () => {
  const { port } = await serve(pages);
  const headers = { 'x-large': 'x'.repeat(20_000) };
  expect(await call(port, '/version', { headers })).toMatchObject({ status: 400 });
  const body = 'x'.repeat(1024 * 1024 + 1);
  expect(await call(port, '/debug/confirm', { method: 'POST', body })).toMatchObject({
    status: 413,
  });
});

test('bytes that are not HTTP are answered once and cut off', async () => {
  const { port } = await serve();
  const socket = connect(port, '127.0.0.1');
  socket.end('\u0016\u0003\u0001 nonsense\r\n\r\n');
  let received = '';
  for await (const chunk of socket) received += String(chunk);
  expect(received).toMatch(/^HTTP\/1\.1 400/u);
});

test('a port that is taken is told by flag and address', async () => {
  const { port } = await serve();
  const second = new MonitoringServer({
    address: { host: '127.0.0.1', port },
    version: '',
    readiness: new Readiness(),
    metrics: new Metrics(),
    logger,
    pages: [],
  });
  await expect(second.start()).rejects.toMatchObject({
    code: 'conflict',
    message: `cannot listen on --monitoringAddr 127.0.0.1:${port}`,
  });
});

test('stopping lets an answer that is under way end', async () => {
  const entered = Promise.withResolvers<() => void>();
  const slow: DebugPage = {
    path: '/debug/slow',
    doc: 'Waits.',
    handle: () =>
      new Promise((resolve) => {
        entered.resolve(() => resolve('done'));
      }),
  };
  const { server, port } = await serve([slow]);
  const answer = call(port, '/debug/slow');
  const go = await entered.promise;
  const stopped = server.stop(new AbortController().signal);
  go();
  expect(await answer).toMatchObject({ status: 200, body: 'done' });
  await stopped;
  servers.length = 0;
});

function parts(calls: string[], names: readonly string[]): Part[] {
  return names.map((name) => ({
    name,
    start: async () => void calls.push(`start ${name}`),
    stop: async () => void calls.push(`stop ${name}`),
  }));
}

function lifecycle(time = new VirtualTime(), drainMs = 1_000): Lifecycle {
  return new Lifecycle({ timers: time, logger, drainMs });
}

test('parts start in order and stop in the reverse order, once', async () => {
  const calls: string[] = [];
  const life = lifecycle();
  await life.start(parts(calls, ['log', 'pusher']));
  await Promise.all([life.stop(), life.stop()]);
  expect(calls).toEqual(['start log', 'start pusher', 'stop pusher', 'stop log']);
});

test('a part that does not start stops those before it and is named', async () => {
  const calls: string[] = [];
  const broken: Part = {
    name: 'server',
    start: () => Promise.reject(Object.assign(new Error('in use'), { code: 'EADDRINUSE' })),
  };
  await expect(lifecycle().start([...parts(calls, ['log']), broken])).rejects.toMatchObject({
    code: 'conflict',
    message: 'cannot start server',
  });
  expect(calls).toEqual(['start log', 'stop log']);
});

test('a part that fails to stop does not keep the others from stopping', async () => {
  const calls: string[] = [];
  const life = lifecycle();
  const broken: Part = { name: 'server', stop: () => Promise.reject(new Error('boom')) };
  await life.start([...parts(calls, ['log']), broken]);
  await life.stop();
  expect(calls).toEqual(['start log', 'stop log']);
  expect(lines.join()).toContain('boom');
});

test('at the deadline parts are told to let go, and one that does not is left behind', async () => {
  const time = new VirtualTime();
  const life = lifecycle(time, 500);
  const calls: string[] = [];
  const slow: Part = {
    name: 'slow',
    stop: (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          calls.push('slow let go');
          resolve();
        });
      }),
  };
  const stuck: Part = { name: 'stuck', stop: () => new Promise(() => undefined) };
  await life.start([...parts(calls, ['log']), stuck, slow]);
  let stopped = false;
  const stopping = life.stop().then(() => {
    stopped = true;
  });
  await time.advance(499);
  expect(calls).toEqual(['start log']);
  await time.advance(1);
  expect(calls).toEqual(['start log', 'slow let go']);
  expect(stopped).toBe(false);
  await time.advance(1_000);
  await stopping;
  expect(calls).toEqual(['start log', 'slow let go', 'stop log']);
  expect(lines.join()).toContain('not stopped in 500 ms');
});

test('the first signal stops in order, the second at once', async () => {
  const time = new VirtualTime();
  const life = lifecycle(time);
  const source = new EventEmitter();
  const forced: string[] = [];
  await life.start([{ name: 'stuck', stop: () => new Promise(() => undefined) }]);
  const ended = life.runUntilEnd(source, (signal) => forced.push(signal));
  source.emit('SIGTERM');
  await time.advance(500);
  expect(forced).toEqual([]);
  source.emit('SIGINT');
  expect(forced).toEqual(['SIGINT']);
  await time.advance(10_000);
  await ended;
});

test('Ctrl-C that comes from the terminal and from npm as well stops in order', async () => {
  const time = new VirtualTime();
  const life = lifecycle(time);
  const source = new EventEmitter();
  const forced: string[] = [];
  const calls: string[] = [];
  await life.start(parts(calls, ['log']));
  const ended = life.runUntilEnd(source, (signal) => forced.push(signal));
  source.emit('SIGINT');
  source.emit('SIGINT');
  await time.advance(499);
  source.emit('SIGTERM');
  await ended;
  expect(calls).toEqual(['start log', 'stop log']);
  expect(forced).toEqual([]);
});

test('what ends by itself says why, and is not forced by the first signal', async () => {
  const time = new VirtualTime();
  const life = lifecycle(time);
  const source = new EventEmitter();
  const forced: string[] = [];
  const calls: string[] = [];
  await life.start(parts(calls, ['log']));
  const ended = life.runUntilEnd(source, (signal) => forced.push(signal));
  life.end({ reason: 'it cannot go on' });
  source.emit('SIGTERM');
  await ended;
  expect(calls).toEqual(['start log', 'stop log']);
  expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject([
    { msg: 'stopping', reason: 'it cannot go on' },
  ]);
  expect(lines.join()).not.toContain('signal');
  expect(forced).toEqual([]);
});

test('metrics: a series adds up, a histogram has its buckets, labels are bounded', async () => {
  const metrics = new Metrics({ maxSeries: 3 });
  const pushes = metrics.counter(pilotMetrics.pushes);
  pushes.with({ type: 'cds' }).add();
  pushes.with({ type: 'cds' }).add(2);
  metrics.counter(pilotMetrics.pushes).with({ type: 'cds' }).add();
  expect(await metrics.value('pilot_xds_pushes', { type: 'cds' })).toBe(4);
  expect(await metrics.value('pilot_xds_pushes', { type: 'cds' })).toBe(4);

  const streams = metrics.gauge(watershedMetrics.streams).with({ protocol: 'delta' });
  streams.set(5);
  streams.add(-2);
  expect(await metrics.value('watershed_streams', { protocol: 'delta' })).toBe(3);

  metrics.histogram(pilotMetrics.convergenceSeconds).with().observe(0.2);
  expect(await metrics.value('pilot_proxy_convergence_time')).toBe(1);
  expect(await metrics.text()).toContain('pilot_proxy_convergence_time_bucket{le="0.5"} 1\n');
  expect(await metrics.value('pilot_services')).toBe(0);

  for (let i = 0; i < 10; i++) pushes.with({ type: `type ${i}` }).add();
  expect(await metrics.value('pilot_xds_pushes', { type: 'other' })).toBe(8);
  expect((await metrics.text()).match(/^pilot_xds_pushes\{/gmu)).toHaveLength(4);
});

test('every metric is declared once, with a name, a text and ascending buckets', () => {
  const specs: MetricSpec[] = [...Object.values(pilotMetrics), ...Object.values(watershedMetrics)];
  expect(new Set(specs.map((spec) => spec.name)).size).toBe(specs.length);
  for (const spec of specs) {
    expect(spec.name).toMatch(/^(?:pilot|xds|istio|istiod|galley|watershed)_[a-z0-9_]+$/u);
    expect(spec.help).toMatch(/\.$/u);
    expect((spec.buckets !== undefined) === (spec.kind === 'histogram')).toBe(true);
    const buckets = spec.buckets ?? [];
    expect([...buckets].sort((a, b) => a - b)).toEqual(buckets);
  }
});

test("the process's own metrics are there when asked for", async () => {
  const own = await new Metrics({ process: true }).text();
  expect(own).toContain('process_cpu_seconds_total');
  // Those would list every socket, for each scrape.
  expect(own).not.toMatch(/nodejs_active_(?:handles|resources)/u);
  expect(await new Metrics().text()).not.toContain('process_cpu_seconds_total');
});

test('how late timers were is told in seconds, without the period in which it is measured', async () => {
  const metrics = new Metrics({ process: true });
  await setTimeout(150);
  const busyUntilMs = performance.now() + 400;
  while (performance.now() < busyUntilMs);
  await setTimeout(150);
  const value = (figure: string): Promise<number> =>
    metrics.value(`nodejs_eventloop_lag_${figure}_seconds`);
  for (const figure of ['max', 'p99', 'p90', 'mean', 'stddev']) {
    expect(await value(figure)).toBeGreaterThan(0);
  }
  expect(await value('max')).toBeGreaterThan(0.2);
});
