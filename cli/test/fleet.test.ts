import { expect, test } from 'vitest';
import { freePort } from '../src/components/ports.ts';
import { listening, xdsctl } from './support.ts';

interface Member {
  readonly name: string;
  readonly address: string;
}

/** The monitoring port of a pusher: of its streams' proxies, and with those that it knows. */
async function pusher(
  self: Member,
  proxies: readonly string[],
  others: readonly Member[] = [],
  silence?: string,
): Promise<string> {
  const told = [self, ...others].map((one) => ({ ...one, streams: 7, silentMs: 4_200 }));
  const pages: Readonly<Record<string, unknown>> = {
    '/debug/syncz': proxies.map((proxy) => ({ proxy })),
    '/debug/scopes': { log: { silence } },
    '/debug/placement': { self, pushers: told },
  };
  return listening(({ url = '' }, response) => response.end(JSON.stringify(pages[url])));
}

const [a, b, c] = ['a', 'b', 'c'].map((name) => ({
  name: `pusher-${name}`,
  address: `${name}.watershed:15010`,
})) as [Member, Member, Member];

/** Each proxy with its pusher. */
function placed(lines: readonly string[]): readonly (readonly (string | undefined)[])[] {
  const rows = lines.map((line) => line.split(/ {2,}/u));
  const at = rows[0]?.indexOf('PUSHER') ?? -1;
  // There is no cluster here, so a row has one cell less than the header.
  return rows.slice(1).map((row) => [row[0], row[at - 1]]);
}

test('proxy-status shows the proxies of all pushers that it is given, and whose each is', async () => {
  const first = await pusher(a, ['z.shop', 'b.shop'], [b]);
  const second = await pusher(b, ['a.shop'], [a]);
  const all = [
    ['a.shop', 'pusher-b'],
    ['b.shop', 'pusher-a'],
    ['z.shop', 'pusher-a'],
  ];
  const commas = await xdsctl('proxy-status', '--monitoringAddr', `${first}, ${second}`);
  expect([placed(commas.lines), commas.notes, commas.failure]).toEqual([all, [], '']);
  const flags = ['--monitoringAddr', first, '--monitoringAddr', second];
  expect(placed((await xdsctl('proxy-status', ...flags)).lines)).toEqual(all);
});

test('a pusher of two addresses is one', async () => {
  const address = await pusher(a, ['a.shop']);
  const other = address.replace('127.0.0.1', 'localhost');
  const { lines } = await xdsctl('proxy-status', '--monitoringAddr', `${address},${other}`);
  expect(placed(lines)).toEqual([['a.shop', 'pusher-a']]);
});

test('proxy-status names the pushers that there are and that it was not given', async () => {
  // Of one that was started again, the others know both.
  const before = { ...a, name: 'pusher-before' };
  const address = await pusher(a, ['a.shop'], [before, b, c]);
  const { lines, notes, failure } = await xdsctl('proxy-status', '--monitoringAddr', address);
  expect([placed(lines), failure]).toEqual([[['a.shop', 'pusher-a']], '']);
  expect(notes).toEqual([
    'not asked: pusher pusher-b (xDS b.watershed:15010; 7 streams, it said 4 s ago); --monitoringAddr takes several addresses',
    'not asked: pusher pusher-c (xDS c.watershed:15010; 7 streams, it said 4 s ago); --monitoringAddr takes several addresses',
  ]);
});

test('of a pusher that does not answer proxy-status says so, after what the others have', async () => {
  const first = await pusher(a, ['a.shop'], [b]);
  const second = `127.0.0.1:${await freePort()}`;
  const { lines, notes, failure } = await xdsctl(
    ...['proxy-status', '--monitoringAddr', `${first},${second}`],
  );
  expect(placed(lines)).toEqual([['a.shop', 'pusher-a']]);
  expect(notes).toEqual([
    'did not answer, or was not asked: pusher pusher-b (xDS b.watershed:15010; 7 streams, it said 4 s ago)',
  ]);
  expect(failure).toMatch(new RegExp(`^no answer from http://${second}/.*ECONNREFUSED`, 'u'));
});

test('proxy-status says whose log is silent', async () => {
  const first = await pusher(a, [], [b], 'the log was last heard of 20 s ago');
  const second = await pusher(b, [], [a]);
  const { lines } = await xdsctl('proxy-status', '--monitoringAddr', `${first},${second}`);
  expect(lines[0]).toBe(
    'pusher-a: the log was last heard of 20 s ago: what proxies have is as old as that',
  );
});

test('proxy-status says whom it waits for, where that takes long', async () => {
  const first = await pusher(a, ['a.shop']);
  const second = await listening(() => undefined);
  const { lines, notes, failure } = await xdsctl(
    ...['proxy-status', '--monitoringAddr', `${first},${second}`, '--timeout', '1.5'],
  );
  expect(notes).toEqual([`waiting for ${second}, for 1.5 s at most`]);
  expect(placed(lines)).toEqual([['a.shop', 'pusher-a']]);
  expect(failure).toContain(`no answer from http://${second}/`);
});
