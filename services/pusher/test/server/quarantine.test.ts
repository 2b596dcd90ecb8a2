import { credentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { Nack } from '@watershed/model/gen/record.ts';
import type { Log } from '@watershed/log/port.ts';
import { systemTime, type Time } from '@watershed/runtime/clock.ts';
import type { Metrics } from '@watershed/runtime/metrics.ts';
import { makeAuthority } from '../../../../test/components/certificates.ts';
import { syncStatus } from '../../src/debug/proxies.ts';
import { CDS } from '../session/support.ts';
import { contentOf, deltaAds, DeltaClient, node } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running, type RunOptions } from '../support/world.ts';

const authority = makeAuthority('test roots');
const server = authority.issue({ commonName: 'server', names: ['localhost', '127.0.0.1'] });
const web = authority.issue({
  commonName: 'web',
  names: ['spiffe://cluster.local/ns/shop/sa/web'],
});
const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const pushers: Running[] = [];
const open: DeltaClient[] = [];

/** The first has the log; the next read and write the same. */
async function pusher(name: string, more: RunOptions = {}): Promise<Running> {
  const [first] = pushers;
  const log = first?.translator.log;
  const running = await run({
    name,
    ...more,
    sessionLimits: { probeAfterMs: 50 },
    identity: {
      trustDomains: ['cluster.local'],
      policy: {
        gatewayAccounts: new Set(),
        nodeAccounts: new Set(),
        operatorNamespaces: new Set(),
      },
      plaintextNeedsToken: false,
    },
    tls: {
      address: { host: '127.0.0.1', port: 0 },
      source: {
        current: { key: server.key, cert: server.certificate, clientCa: authority.certificate },
        watch: () => undefined,
        stop: () => undefined,
      },
    },
    ...(first === undefined || log === undefined
      ? {}
      : {
          blobs: first.blobs,
          log: {
            append: (records) => log.append(records),
            read: (...args) => log.read(...args),
            end: (...args) => log.end(...args),
          },
        }),
  });
  pushers.push(running);
  return running;
}

/** A proxy with a certificate, of Envoy 1.40. */
function proxy(at: Running, pod: string, version = '1.40.0'): DeltaClient {
  const port = Number(at.pusher.tlsAddress?.split(':').at(-1));
  const by = credentials.createSsl(
    Buffer.from(authority.certificate),
    Buffer.from(web.key),
    Buffer.from(web.certificate),
  );
  const id = `sidecar~10.0.0.1~${pod}.shop~shop.svc.cluster.local`;
  const of = {
    ...node(id),
    userAgentVersionType: { $case: 'userAgentVersion', value: version },
  };
  const client = new DeltaClient(port, of, deltaAds, by);
  open.push(client);
  return client;
}

async function take(client: DeltaClient): Promise<Record<string, string>> {
  const seen = await client.next();
  client.ack(seen);
  return contentOf(seen);
}

async function refuse(client: DeltaClient): Promise<void> {
  const seen = await client.next();
  expect(contentOf(seen)).toMatchObject({ bad: '2' });
  client.nack(seen, 'Error adding/updating cluster(s) bad: no\tway');
}

const quarantined = (metrics: Metrics): Promise<number | undefined> =>
  metrics.value('watershed_quarantined_resources', {});

/** What is told of refusals. */
async function nacks({ translator }: Running): Promise<readonly Nack[]> {
  const told = await translator.feedback();
  return [...told.values()].flatMap(({ report }) =>
    report?.$case === 'nack' ? [report.value] : [],
  );
}

/** A hundred times as fast as it is. */
const hurried: Time = {
  ...systemTime,
  now: () => startMs + 100 * (systemTime.now() - startMs),
  monotonic: () => 100 * systemTime.monotonic(),
  after: (delayMs, callback) => systemTime.after(delayMs / 100, callback),
};
const startMs = systemTime.now();

/** All pushers have heard of a NACK that one of them told. */
async function told(name: string): Promise<void> {
  await until('it is told', async () =>
    [...((await pushers[0]?.translator.feedback()) ?? new Map()).keys()].some((key) =>
      key.startsWith(`n|${name}|`),
    ),
  );
}

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  // The first has the log.
  for (const running of pushers.splice(0).reverse()) await running.stop();
});

describe('a version that three authenticated proxies refused', () => {
  it('goes to no other proxy of the scope, here or at another pusher, until it is fixed', async () => {
    const one = await pusher('one');
    const { translator } = one;
    await translator.publish({ [CDS]: { bad: '1', good: '1' } }, scopes);
    const other = await pusher('other');
    const three = [proxy(one, 'web-1'), proxy(one, 'web-2'), proxy(other, 'web-3')];
    const slow = proxy(other, 'web-4');
    for (const client of [...three, slow]) {
      client.request(CDS);
      expect(await take(client)).toEqual({ bad: '1', good: '1' });
    }
    slow.pause();
    await translator.publish({ [CDS]: { bad: '2', good: '2' } }, scopes);
    for (const client of three) {
      await refuse(client);
      // The rest of that push goes on.
      expect(await take(client)).toEqual({ good: '2' });
    }
    for (const { metrics } of [one, other]) {
      await until(
        'it is in quarantine',
        async () => (await metrics.value('watershed_quarantined_resources', {})) === 1,
      );
    }
    for (const at of [one, other]) {
      // A new proxy gets what was good last; one that has something keeps it.
      const fresh = proxy(at, 'web-5');
      fresh.request(CDS);
      expect(await take(fresh)).toEqual({ bad: '1', good: '2' });
      expect(await fresh.quiet()).toBe(true);
    }
    const newer = proxy(one, 'web-6', '1.41.0');
    newer.request(CDS);
    expect(await take(newer)).toEqual({ bad: '2', good: '2' });
    const status = JSON.stringify(syncStatus(other.pusher.hub.streams, systemTime, null));
    expect(status).toContain('"cluster_quarantined":["bad"]');
    expect(status).toContain('Error adding/updating cluster(s) bad: no');
    slow.resume();
    await translator.publish({ [CDS]: { bad: '3', good: '2' } }, scopes);
    for (const client of three) expect(await take(client)).toEqual({ bad: '3' });
    for (const { metrics } of [one, other]) {
      await until(
        'it is free',
        async () => (await metrics.value('watershed_quarantined_resources', {})) === 0,
      );
    }
    const told = [...(await translator.feedback()).keys()].filter((key) => key.startsWith('n|'));
    expect(told).toEqual([]);
    await until('nothing is refused any more', () => {
      const now = JSON.stringify(syncStatus(one.pusher.hub.streams, systemTime, null));
      return now.includes('web-1') && !now.includes('_nacked');
    });
  });

  it('goes to nobody on the way to what replaces it, be the three at another pusher', async () => {
    const one = await pusher('one');
    const { translator } = one;
    await translator.publish({ [CDS]: { bad: '1', good: '1' } }, scopes);
    const other = await pusher('other');
    const three = ['web-1', 'web-2', 'web-3'].map((pod) => proxy(one, pod));
    const keepers = [one, other].map((at) => proxy(at, 'web-4'));
    for (const client of [...three, ...keepers]) {
      client.request(CDS);
      await take(client);
    }
    await translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    for (const client of three) await refuse(client);
    for (const client of keepers) await take(client);
    const newcomers = [one, other].map((at) => proxy(at, 'web-5'));
    for (const [i, { metrics }] of [one, other].entries()) {
      await until('it is in quarantine', async () => (await quarantined(metrics)) === 1);
      newcomers[i]?.request(CDS);
    }
    for (const fresh of newcomers) expect(await take(fresh)).toEqual({ bad: '1', good: '1' });
    await translator.publish({ [CDS]: { bad: '3', good: '1' } }, scopes);
    for (const client of [...three, ...keepers, ...newcomers]) {
      expect(await take(client)).toEqual({ bad: '3' });
    }
    for (const { metrics } of [one, other]) {
      await until('it is free', async () => (await quarantined(metrics)) === 0);
    }
  });

  it('is no matter of fewer at a pusher that has none of the scope, while others have more', async () => {
    const one = await pusher('one');
    const { translator } = one;
    await translator.publish({ [CDS]: { bad: '1', good: '1' } }, scopes);
    const other = await pusher('other');
    const [first, second] = [proxy(one, 'web-1'), proxy(one, 'web-2')];
    for (const client of [first, second]) {
      client.request(CDS);
      await take(client);
    }
    await translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    await refuse(first);
    expect(await take(second)).toEqual({ bad: '2' });
    await told('one');
    const third = proxy(other, 'web-3');
    third.request(CDS);
    expect(await take(third)).toEqual({ bad: '2', good: '1' });
    for (const { metrics } of [one, other]) expect(await quarantined(metrics)).toBe(0);
  });

  it('is tried with whoever connects, while fewer than three refuse it', async () => {
    const one = await pusher('one');
    const { translator } = one;
    await translator.publish({ [CDS]: { bad: '1', good: '1' } }, scopes);
    const other = await pusher('other');
    const only = proxy(one, 'web-1');
    only.request(CDS);
    await take(only);
    await translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    await refuse(only);
    await told('one');
    expect(await only.quiet()).toBe(true);
    // Another proxy, and the same one on a new stream, at either pusher.
    for (const at of [one, other]) {
      for (const pod of ['web-1', 'web-2']) {
        const fresh = proxy(at, pod);
        fresh.request(CDS);
        expect(await take(fresh)).toEqual({ bad: '2', good: '1' });
      }
      expect(await quarantined(at.metrics)).toBe(0);
    }
  });

  it('is refused by proxies that are there at a time; what one refused before it left does not count', async () => {
    const one = await pusher('one');
    await one.translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    for (const pod of ['web-1', 'web-2', 'web-3', 'web-4']) {
      const client = proxy(one, pod);
      client.request(CDS);
      await refuse(client);
      await told('one');
      client.close();
      await until('its vote is taken back', async () => (await nacks(one)).length === 0);
    }
    const three = ['web-1', 'web-2', 'web-3'].map((pod) => proxy(one, pod));
    for (const client of three) {
      client.request(CDS);
      await refuse(client);
    }
    await until('they are enough', async () => (await quarantined(one.metrics)) === 1);
    for (const client of three) client.close();
    const last = proxy(one, 'web-4');
    last.request(CDS);
    expect(await take(last)).toEqual({ good: '1' });
    expect(await last.quiet()).toBe(true);
  });

  it('is tried again when the pusher that told of it is gone, be it one before a restart', async () => {
    let isDead = false;
    const before = await pusher('before', { keepDir: true, log: { append: dies } });
    const { dir, blobs, translator } = before;
    function dies(...args: Parameters<Log['append']>): ReturnType<Log['append']> {
      return isDead ? Promise.reject(new Error('killed')) : translator.log.append(...args);
    }
    await translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    for (const pod of ['web-1', 'web-2', 'web-3']) {
      const client = proxy(before, pod);
      client.request(CDS);
      await refuse(client);
    }
    await until('all are told of', async () => {
      const [nack] = await nacks(before);
      return nack?.proxies.length === 3;
    });
    isDead = true;
    for (const client of open.splice(0)) client.close();
    await pushers.pop()?.stop();
    const after = await pusher('after', { dir, blobs, time: hurried });
    await until('it is in quarantine', async () => (await quarantined(after.metrics)) === 1);
    const spared = proxy(after, 'web-4');
    spared.request(CDS);
    expect(await take(spared)).toEqual({ good: '1' });
    expect(JSON.stringify(syncStatus(after.pusher.hub.streams, systemTime, null))).toContain(
      '"spared":true',
    );
    // In a minute of its time.
    expect(await take(spared)).toEqual({ bad: '2' });
    expect(await quarantined(after.metrics)).toBe(0);
    expect(JSON.stringify(syncStatus(after.pusher.hub.streams, systemTime, null))).not.toContain(
      'spared',
    );
    await until('nothing stays of it', async () => (await nacks(after)).length === 0);
  });

  it('is found by trying where a proxy does not name it, and the rest of its push goes on', async () => {
    const one = await pusher('one');
    const { translator } = one;
    const names = ['a', 'b', 'c', 'bad', 'd'];
    const all = (version: string): Record<string, string> =>
      Object.fromEntries(names.map((name) => [name, version]));
    await translator.publish({ [CDS]: all('1') }, scopes);
    const only = proxy(one, 'web-1');
    only.request(CDS);
    await take(only);
    await translator.publish({ [CDS]: all('2') }, scopes);
    const held = all('1');
    let tries = 0;
    for (; Object.values(held).filter((version) => version === '2').length < 4; tries++) {
      const seen = await only.next();
      if (contentOf(seen)['bad'] === '2') only.nack(seen, 'it is wrong somewhere');
      else {
        only.ack(seen);
        Object.assign(held, contentOf(seen));
      }
    }
    expect(tries).toBeLessThan(12);
    await until('it is found', async () => (await nacks(one)).length === 1);
    expect((await nacks(one))[0]?.resource).toBe('bad');
    expect(await only.quiet()).toBe(true);
  });

  it('does not count proxies that only say who they are', async () => {
    const one = await pusher('one');
    await one.translator.publish({ [CDS]: { bad: '1', good: '1' } }, scopes);
    const clients = ['web-1', 'web-2', 'web-3', 'web-4'].map((pod) => {
      const client = new DeltaClient(
        one.port,
        node(`sidecar~10.0.0.1~${pod}.shop~shop.svc.cluster.local`),
      );
      open.push(client);
      return client;
    });
    for (const client of clients) {
      client.request(CDS);
      await take(client);
    }
    await one.translator.publish({ [CDS]: { bad: '2', good: '1' } }, scopes);
    for (const client of clients) await refuse(client);
    for (const client of clients) expect(await client.quiet()).toBe(true);
    expect(await nacks(one)).toEqual([]);
    expect(await one.metrics.value('watershed_quarantined_resources', {})).toBe(0);
  });
});
