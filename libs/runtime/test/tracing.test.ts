import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { Logging } from '../src/logger.ts';
import { processOptions } from '../src/options-common.ts';
import { parseOptions } from '../src/options-parse.ts';
import { openTracing, tracingOptions } from '../src/tracing-open.ts';
import {
  extractTraceparent,
  injectTraceparent,
  noTracing,
  parseTraceparent,
  type Tracing,
} from '../src/tracing.ts';
import { VirtualTime } from '../src/virtual-time.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const parent = `00-${traceId}-b7ad6b7169203331-01`;

const lines: string[] = [];

function optionsOf(environment: Readonly<Record<string, string>>) {
  const parsed = parseOptions(
    { name: 'p', description: '', version: '1', table: processOptions },
    { argv: [], environment },
  );
  if (parsed.kind !== 'run') throw new Error('expected a configuration');
  const logging = new Logging({
    scopes: ['trace'],
    levels: 'info',
    json: true,
    clock: new VirtualTime(),
    write: (line) => lines.push(line),
  });
  return tracingOptions(parsed.config, { name: 'p', version: '1.2.3' }, logging.scope('trace'));
}

function open(environment: Readonly<Record<string, string>>): Promise<Tracing> {
  return openTracing(optionsOf(environment));
}

interface Export {
  readonly path: string;
  readonly token: string;
  readonly body: string;
}

/** A collector's HTTP side: protobuf keeps texts readable, so a look at the bytes says enough. */
async function collect(use: (url: string) => Promise<void>, status = 200): Promise<Export[]> {
  const exports: Export[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      exports.push({ path: request.url ?? '', token: String(request.headers['x-token']), body });
      response.writeHead(status).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  try {
    await use(`http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return exports;
}

test.each([
  [parent, true],
  [`00-${traceId}-b7ad6b7169203331-00`, false],
  [`cc-${traceId}-b7ad6b7169203331-01-what-comes`, true],
])('%s is a traceparent', (text, sampled) => {
  expect(parseTraceparent(text)).toEqual({ traceId, spanId: 'b7ad6b7169203331', sampled });
});

test.each([
  undefined,
  '',
  `ff-${traceId}-b7ad6b7169203331-01`,
  `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `${parent}-more`,
  parent.toUpperCase(),
])('%j is no traceparent', (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});

test('headers carry a traceparent from one span to the next, and a malformed one is dropped', () => {
  const headers = injectTraceparent({ schema: 'v1' }, { traceparent: parent });
  expect(headers).toEqual({ schema: 'v1', traceparent: parent });
  expect(extractTraceparent(headers)).toBe(parent);
  expect(extractTraceparent({ traceparent: 'nonsense' })).toBeUndefined();
  expect(injectTraceparent(headers, { traceparent: undefined })).toBe(headers);
});

test("without an endpoint nothing is recorded, and an event's traceparent is handed on", async () => {
  for (const environment of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://a', OTEL_SDK_DISABLED: 'true' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://a', OTEL_TRACES_EXPORTER: 'none' },
  ]) {
    expect(await open(environment)).toBe(noTracing);
  }
  const span = noTracing.start('push', { parent });
  span.set('proxy', 'a.b');
  span.fail(new Error('no'));
  span.end();
  expect(span.traceparent).toBe(parent);
  expect(span.recording).toBe(false);
  expect(noTracing.start('push').traceparent).toBeUndefined();
  await noTracing.shutdown();
});

test('with an endpoint spans are sent there, children of the traceparent that they were given', async () => {
  const exports = await collect(async (url) => {
    const tracing = await open({
      OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'x-token=a%20b',
      OTEL_SERVICE_NAME: 'shop-control',
      OTEL_RESOURCE_ATTRIBUTES: 'zone=z1',
    });
    const span = tracing.start('translate', { parent, links: [parent, 'nonsense'] });
    span.set('resource', 'outbound|80||a');
    expect(span.recording).toBe(true);
    expect(parseTraceparent(span.traceparent)).toMatchObject({ traceId, sampled: true });
    expect(span.traceparent).not.toBe(parent);
    const child = tracing.start('push', { parent: span.traceparent });
    child.fail('refused');
    child.end();
    span.end();
    await tracing.shutdown();
  });
  expect(exports).toHaveLength(1);
  const [sent] = exports;
  expect(sent).toMatchObject({ path: '/v1/traces', token: 'a b' });
  for (const text of [
    'translate',
    'push',
    'outbound|80||a',
    'shop-control',
    'z1',
    'refused',
    '1.2.3',
  ]) {
    expect(sent?.body).toContain(text);
  }
});

test('spans are those of the program, unless the environment names the service', () => {
  expect(optionsOf({}).serviceName).toBe('p');
  expect(optionsOf({ OTEL_SERVICE_NAME: 'q' }).serviceName).toBe('q');
});

test('an endpoint for traces alone is used as it is', () => {
  const url = 'http://collector:4318/custom';
  expect(optionsOf({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url }).url).toBe(url);
});

test.each([
  ['always_off', parent, false],
  ['always_on', `00-${traceId}-b7ad6b7169203331-00`, true],
  ['parentbased_always_on', `00-${traceId}-b7ad6b7169203331-00`, false],
  ['parentbased_always_off', parent, true],
  ['traceidratio', parent, false],
  ['parentbased_traceidratio', parent, true],
])('the sampler %s decides for a child of %s', async (sampler, from, sampled) => {
  const tracing = await open({
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
    OTEL_TRACES_SAMPLER: sampler,
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  const span = tracing.start('push', { parent: from });
  expect(parseTraceparent(span.traceparent)?.sampled).toBe(sampled);
});

test('a collector that refuses is told in the log, and nothing fails', async () => {
  lines.length = 0;
  await collect(async (url) => {
    const tracing = await open({ OTEL_EXPORTER_OTLP_ENDPOINT: url });
    tracing.start('push').end();
    await tracing.shutdown();
  }, 400);
  expect(lines.join()).toContain('spans were not sent');
});
