import { afterEach, describe, expect, it } from 'vitest';
import { syncStatus } from '../../src/debug/proxies.ts';
import { CDS, EDS, RDS } from '../session/support.ts';
import { contentOf, DeltaClient, node } from '../support/client.ts';
import { LeapingTime } from '../support/leaping-time.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const shop = { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [RDS]: { r: '1' } };
const gateWaitMs = 60_000;
const open: DeltaClient[] = [];
let running: Running | undefined;

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

/** A proxy that has all of the shop. */
async function proxy(port: number, pod: string): Promise<DeltaClient> {
  const client = new DeltaClient(port, node(`sidecar~10.0.0.1~${pod}.shop~shop.svc.cluster.local`));
  open.push(client);
  for (const [typeUrl, names] of [
    [CDS, []],
    [EDS, ['a']],
    [RDS, ['r']],
  ] as const) {
    client.request(typeUrl, { resourceNamesSubscribe: [...names] });
    client.ack(await client.next());
  }
  return client;
}

describe('make-before-break', () => {
  it('waits for the ACKs of each proxy by itself, not for ever, and says so', async () => {
    const time = new LeapingTime();
    running = await run({ time, sessionLimits: { gateWaitMs, ackWaitMs: 10 * gateWaitMs } });
    const { port, translator, metrics, logs, pusher } = running;
    await translator.publish(shop, scopes);
    const mute = await proxy(port, 'mute');
    const quick = await proxy(port, 'quick');
    await translator.publish({ ...shop, [CDS]: { a: '2' }, [RDS]: { r: '2' } }, scopes);
    for (const typeUrl of [CDS, EDS, RDS]) {
      const seen = await quick.next();
      expect(seen.typeUrl).toBe(typeUrl);
      quick.ack(seen);
    }
    // The one that says nothing has its clusters and endpoints, and no route yet.
    expect([(await mute.next()).typeUrl, (await mute.next()).typeUrl]).toEqual([CDS, EDS]);
    const status = (): string => JSON.stringify(syncStatus(pusher.hub.streams, time, null));
    expect(status()).toContain('"waits_for":"clusters"');
    time.leap(gateWaitMs);
    const route = await mute.next();
    expect([route.typeUrl, contentOf(route)]).toEqual([RDS, { r: '2' }]);
    expect(await metrics.value('watershed_xds_waits_given_up_total', { stage: 'clusters' })).toBe(
      1,
    );
    expect(logs.filter((line) => line.includes('did not answer in time'))).toHaveLength(1);
    expect(logs.some((line) => line.includes('mute.shop'))).toBe(true);
    await until('it shows', () => status().includes('"waits_given_up":1'));
  });
});
