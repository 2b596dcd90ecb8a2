import { afterEach, describe, expect, it } from 'vitest';
import { transports } from '../../src/server/transports.ts';
import { CDS, LDS } from '../session/support.ts';
import { contentOf, DeltaClient, SotwClient } from '../support/client.ts';
import { LeapingTime } from '../support/leaping-time.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running, type RunOptions } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const open: { close(): void }[] = [];
let running: Running | undefined;

async function start(options: RunOptions = {}): Promise<Running> {
  running = await run(options);
  return running;
}

function opened<Client extends { close(): void }>(client: Client): Client {
  open.push(client);
  return client;
}

/** The client's last word has been heard, and it is not over. */
async function waits({ pusher }: Running): Promise<void> {
  await until('it waits', () => pusher.hub.streams.size === 1);
  await new Promise((resolve) => {
    setTimeout(resolve, 50);
  });
  expect(pusher.hub.streams.size).toBe(1);
}

afterEach(async () => {
  for (const client of open.splice(0)) client.close();
  await running?.stop();
  running = undefined;
});

describe.each(transports)('a client that says no more, over %s', (transport) => {
  it.each([
    ['state of the world', SotwClient],
    ['delta', DeltaClient],
  ])('is answered what it asked before its scope is known (%s)', async (_, Client) => {
    const started = await start({ transport });
    const client = opened(new Client(started.port));
    client.request(CDS);
    client.halfClose();
    await waits(started);
    await started.translator.publish({ [CDS]: { a: '1' } }, scopes);
    expect(contentOf(await client.next())).toEqual({ a: '1' });
    expect((await client.ended()).code).toBe(0);
    expect(client.responses).toHaveLength(1);
  });
});

describe('a client that says no more', () => {
  it('has its stream for 15 s at most, where its scope stays unknown', async () => {
    const time = new LeapingTime();
    const started = await start({ time });
    const client = opened(new SotwClient(started.port));
    client.request(CDS);
    client.halfClose();
    await waits(started);
    time.leap(15_000);
    expect((await client.ended()).code).toBe(0);
    expect(started.pusher.hub.streams.size).toBe(0);
  });

  it('waits for room as others do, and no longer', async () => {
    const time = new LeapingTime();
    // Room for nobody.
    const started = await start({ time, admissionLimits: { queuedBytes: 0 } });
    const waiting = (): Promise<number> => started.metrics.value('watershed_streams_waiting');
    await started.translator.publish({ [CDS]: { a: '1' } }, scopes);
    const client = opened(new SotwClient(started.port));
    client.request(CDS);
    client.halfClose();
    await until('it waits for room', async () => (await waiting()) === 1);
    await waits(started);
    time.leap(15_000);
    expect((await client.ended()).code).toBe(0);
    expect([await waiting(), client.responses]).toEqual([0, []]);
  });

  it('is told nothing of what changes after its last word', async () => {
    const time = new LeapingTime();
    const started = await start({ time });
    const { port, translator } = started;
    const before = { [CDS]: { a: '1' }, [LDS]: { l: '1' } };
    await translator.publish(before, scopes);
    const client = opened(new DeltaClient(port));
    client.request(CDS);
    client.ack(await client.next());
    await translator.publish({ ...before, [CDS]: { a: '2' } }, scopes);
    await client.next();
    // Listeners wait for the ACK of the cluster, which will not come.
    client.request(LDS);
    client.halfClose();
    await waits(started);
    const other = opened(new DeltaClient(port));
    other.request(CDS);
    other.ack(await other.next());
    await translator.publish({ [CDS]: { a: '3' }, [LDS]: { l: '2' } }, scopes);
    expect(contentOf(await other.next())).toEqual({ a: '3' });
    time.leap(5_000);
    const last = await client.next();
    expect([last.typeUrl, contentOf(last)]).toEqual([LDS, { l: '1' }]);
    expect((await client.ended()).code).toBe(0);
    expect(client.responses).toHaveLength(3);
  });

  it('is answered what it asked about the server', async () => {
    const { port } = await start();
    const client = opened(new SotwClient(port));
    client.request('istio.io/debug/syncz');
    client.halfClose();
    expect((await client.next()).typeUrl).toBe('istio.io/debug/syncz');
    expect((await client.ended()).code).toBe(0);
  });
});
