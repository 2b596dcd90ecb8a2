import { expect, test } from 'vitest';
import { Logging, parseLevels } from '../src/logger.ts';
import { VirtualTime } from '../src/virtual-time.ts';

function logging(options: { readonly levels?: string; readonly json?: boolean } = {}) {
  const lines: string[] = [];
  const log = new Logging({
    scopes: ['ads', 'file'],
    levels: options.levels ?? 'info',
    json: options.json ?? true,
    clock: new VirtualTime(),
    write: (line) => lines.push(line),
  });
  return { log, lines };
}

test('a line is JSON with time, level, scope, message and fields', () => {
  const { log, lines } = logging();
  log.scope('ads').with({ proxy: 'a.b' }).info('connected', { streams: 3 });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 'info',
    time: '2026-01-01T00:00:00.000Z',
    scope: 'ads',
    proxy: 'a.b',
    streams: 3,
    msg: 'connected',
  });
  expect(lines[0]?.endsWith('\n')).toBe(true);
});

test('levels are set per scope, and can be changed while running', () => {
  const { log, lines } = logging({ levels: 'warn,ads:debug' });
  const ads = log.scope('ads');
  const file = log.scope('file');
  ads.debug('one');
  file.info('two');
  file.warn('three');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { msg: 'one' },
    { msg: 'three' },
  ]);
  expect(log.levels()).toEqual({ ads: 'debug', file: 'warn' });
  log.setLevels('file:none,ads:error');
  file.fatal('four');
  ads.warn('five');
  ads.error('six');
  expect(lines).toHaveLength(3);
  expect(file.enabled('fatal')).toBe(false);
});

test('all sets every scope', () => {
  expect([...parseLevels('all:error', ['ads'])]).toEqual([
    ['default', 'error'],
    ['ads', 'error'],
  ]);
});

test.each([
  ['loud', /"loud": expected SCOPE:LEVEL/u],
  ['ads:loud', /"ads:loud": expected/u],
  ['ads:info:x', /expected/u],
  ['asd:info', /no scope asd \(there are default, ads, file\); did you mean ads\?/u],
])('the levels %j are refused with a reason', (text, message) => {
  expect(() => parseLevels(text, ['ads', 'file'])).toThrow(message);
  expect(() => logging({ levels: text })).toThrow('--log_output_level');
});

test('secrets are struck out by name and by what they look like', () => {
  const { log, lines } = logging();
  const key = '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----';
  log.scope('ads').error('bad', {
    token: 'hunter2',
    headers: { Authorization: 'Bearer hunter2', accept: '*/*' },
    privateKey: 'hunter2',
    'client-secret': 'hunter2',
    error: new Error(`cannot read ${key}`),
    tokens: 5,
    tokenizer: 'kept',
  });
  expect(lines[0]).not.toContain('hunter2');
  expect(lines[0]).not.toContain('MIIE');
  expect(lines[0]).toContain('[redacted private key]');
  expect(lines[0]).toContain('kept');
});

test('a line is bounded, whatever it is given', () => {
  const { log, lines } = logging();
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  log.scope('ads').info('m'.repeat(100_000), {
    text: 'x'.repeat(1_000_000),
    list: Array.from({ length: 10_000 }, (_, index) => `item ${index}`),
    circle,
    bytes: new Uint8Array(5_000),
    map: new Map([['a', 1n]]),
    scope: 'forged',
  });
  expect(lines[0]?.length).toBeLessThan(10_000);
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  expect(line['scope']).toBe('ads');
  expect(line['scope_']).toBe('forged');
  expect(line['bytes']).toBe('[5000 bytes]');
  expect(line['map']).toEqual({ a: '1' });
});

test('an error brings its code, its causes and its stack', () => {
  const { log, lines } = logging();
  const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  log.scope('ads').error('lost', { error: new Error('no broker', { cause }) });
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    error: { message: 'no broker', cause: { message: 'connect', code: 'ECONNREFUSED' } },
  });
  expect(lines[0]).toContain('logger.test.ts');
});

test('at a terminal a line is readable, and nobody can forge one', () => {
  const { log, lines } = logging({ json: false });
  log
    .scope('file')
    .warn('skipped', { path: '/a b', count: 2, name: 'x\n2026 info ads forged\u001b[2J' });
  expect(lines[0]).toMatch(
    /^2026-01-01T00:00:00\.000Z\twarn\tfile\tskipped\tpath="\/a b" count=2 /u,
  );
  expect(lines[0]?.trimEnd()).not.toMatch(/\p{Cc}(?<!\t)/u);
  log.scope('file').error('failed', { error: new Error('boom') });
  expect(lines[1]).toMatch(/failed\terror="boom"\n {4}at /u);
});

test('only scopes that were named can be had', () => {
  expect(() => logging().log.scope('other')).toThrow('no log scope other');
});
