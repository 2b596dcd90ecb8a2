import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatAddress, isLoopback, listenOptions, parseAddress } from '../src/address.ts';
import { sleep, systemTime } from '../src/clock.ts';
import { formatDuration, parseDuration } from '../src/duration.ts';
import { describeError, OperatingError, toOperatingError } from '../src/errors.ts';
import { nearest } from '../src/nearest.ts';
import { version } from '../src/version.ts';
import { VirtualTime } from '../src/virtual-time.ts';

test.each([
  ['100ms', 100],
  ['10s', 10_000],
  ['1m30s', 90_000],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['0', 0],
  ['-2s', -2_000],
  ['250us', 0.25],
  ['250µs', 0.25],
])('the duration %s is %d ms', (text, durationMs) => {
  expect(parseDuration(text)).toBeCloseTo(durationMs, 9);
});

test.each(['', '5', 's', '5 s', '1d', '1h-2m', '1e3s', 'NaN'])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test('a formatted duration parses to the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1e9, max: 1e9 }), (durationMs) => {
      expect(parseDuration(formatDuration(durationMs))).toBeCloseTo(durationMs, 6);
    }),
  );
});

test.each([
  [':15010', { host: '', port: 15_010 }],
  ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
  ['istiod.istio-system.svc:15012', { host: 'istiod.istio-system.svc', port: 15_012 }],
  ['[::1]:80', { host: '::1', port: 80 }],
])('the address %s is read and written back', (text, address) => {
  expect(parseAddress(text)).toEqual(address);
  expect(formatAddress(address)).toBe(text);
});

test.each(['', '15010', 'a:b', '::1:80', '[x]:1', 'a:65536', 'a b:1'])(
  '%j is no address',
  (text) => {
    expect(parseAddress(text)).toBeUndefined();
  },
);

test('an address without a host listens on all interfaces', () => {
  expect(listenOptions({ host: '', port: 1 })).toEqual({ port: 1 });
  expect(listenOptions({ host: '::1', port: 1 })).toEqual({ port: 1, host: '::1' });
});

test('loopback is what only this machine reaches', () => {
  expect(
    ['localhost', '127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'].filter(isLoopback),
  ).toHaveLength(5);
  expect(
    ['', '0.0.0.0', '::', '10.0.0.1', '127.example.com', '::ffff:10.0.0.1'].filter(isLoopback),
  ).toEqual([]);
});

test('the nearest name is suggested only when it is near', () => {
  expect(nearest('grpcadr', ['grpcAddr', 'domain'])).toBe('grpcAddr');
  expect(nearest('zebra', ['grpcAddr', 'domain'])).toBeUndefined();
});

test('whatever is thrown becomes an operating error with a code and its cause', () => {
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  expect(toOperatingError(refused)).toMatchObject({ code: 'unavailable', cause: refused });
  expect(toOperatingError(new DOMException('stop', 'AbortError')).code).toBe('cancelled');
  expect(toOperatingError('plain')).toMatchObject({ code: 'internal', message: 'plain' });
  const own = new OperatingError('denied', 'no');
  expect(toOperatingError(own)).toBe(own);
});

test('an error is described with its causes, and a circle of causes ends', () => {
  const inner = new Error('disk full');
  expect(describeError(new OperatingError('corrupt', 'cannot append', { cause: inner }))).toBe(
    'cannot append: disk full',
  );
  const circle = new Error('round');
  circle.cause = circle;
  expect(describeError(circle)).toBe('round');
  expect(describeError({ code: 5 })).toBe('{ code: 5 }');
});

test('virtual time fires timers in order, and what they set in turn, only when it is advanced', async () => {
  const time = new VirtualTime();
  const fired: string[] = [];
  time.after(30, () => fired.push('c'));
  time.after(10, () => {
    fired.push('a');
    time.after(10, () => fired.push('b'));
  });
  time.after(10, () => fired.push('a2'));
  const cancelled = time.after(15, () => fired.push('never'));
  cancelled.cancel();
  const start = time.now();
  await time.advance(29);
  expect(fired).toEqual(['a', 'a2', 'b']);
  expect(time.now() - start).toBe(29);
  expect(time.pending).toBe(1);
  await time.advance(1);
  expect(fired).toEqual(['a', 'a2', 'b', 'c']);
});

test('a sleep ends with the time, or with the signal', async () => {
  const time = new VirtualTime();
  let slept = false;
  void sleep(time, 100).then(() => {
    slept = true;
  });
  await time.advance(99);
  expect(slept).toBe(false);
  await time.advance(1);
  expect(slept).toBe(true);

  const controller = new AbortController();
  const cut = sleep(time, 100, controller.signal);
  controller.abort(new Error('enough'));
  await expect(cut).rejects.toThrow('enough');
  await expect(sleep(time, 1, controller.signal)).rejects.toThrow('enough');
  expect(time.pending).toBe(0);
});

test("the machine's time fires, cancels and measures", async () => {
  const before = systemTime.monotonic();
  const cancelled = systemTime.after(0, () => expect.unreachable());
  cancelled.cancel();
  await new Promise<void>((resolve) => {
    systemTime.soon(resolve);
  });
  await sleep(systemTime, 1);
  expect(systemTime.monotonic()).toBeGreaterThan(before);
  expect(systemTime.now()).toBeGreaterThan(Date.UTC(2025, 0));
});

test('the version is that of the package', () => {
  expect(version).toMatch(/^\d+\.\d+\.\d+/u);
});
