import { Feedback, type Pusher } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ringOf } from '../../src/placement/ring.ts';
import { CDS } from '../session/support.ts';
import { contentOf, DeltaClient } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, until, type Running } from '../support/world.ts';

const scope = scopeOfNode();
const scopes = { [scope.id]: scope.scopeClass };
const { namespace } = scope.scopeClass;
const here = { host: '10.0.0.1', port: 15010 };
const self = '10.0.0.1:15010';
const minute = 60_000;

let time: VirtualTime;
let running: Running;

beforeEach(async () => {
  time = new VirtualTime();
  const settings = {
    grpcAddr: { host: '127.0.0.1', port: 0 },
    debounceAfterMs: 0,
    debounceMaxMs: 0,
    edsDebounce: false,
    pushThrottle: 0,
    maxRequestsPerSecond: 0,
    advertisedAddr: here,
  };
  running = await run({ time, options: settings });
  await running.translator.publish({ [CDS]: { a: '1' } }, scopes);
});

afterEach(async () => {
  await running.stop();
});

/** Timers do not pass by themselves, and what is on the wire needs real time. */
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += minute) {
    await time.advance(Math.min(minute, ms - passed));
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** A proxy comes, is served, and goes. */
async function visit(): Promise<void> {
  const client = new DeltaClient(running.port);
  client.request(CDS);
  await until('it is served', async () => {
    await time.advance(10);
    return client.responses.length > 0;
  });
  expect(contentOf(await client.next())).toEqual({ a: '1' });
  client.close();
  await until('it is gone', () => running.pusher.hub.streams.size === 0);
}

/** Another pusher on the log, for as long as the test takes. */
async function another(address: string): Promise<void> {
  const expiresMs = time.now() + 600 * minute;
  const value: Pusher = { address, streams: 0, scopes: 0, expiresMs, readsInlined: true };
  const report: Feedback['report'] = { $case: 'pusher', value };
  const bytes = Feedback.encode({ report }).finish();
  await running.translator.log.append([
    { topic: topics.feedback, partition: 0, key: 'p|another', value: bytes },
  ]);
  await until('it is heard', () => JSON.stringify(page()).includes(address));
}

function page(): unknown {
  return running.pusher.pages.find(({ path }) => path === '/debug/placement')?.handle(request);
}

const request = { query: new URLSearchParams() } as Parameters<
  Running['pusher']['pages'][number]['handle']
>[0];

it('a scope outlives its last stream for an hour where its proxies belong', async () => {
  await visit();
  await pass(50 * minute);
  expect(running.pusher.hub.scopes).toBe(1);
  expect((await running.translator.feedback()).has(`d|test|${scope.id}`)).toBe(true);
  await pass(15 * minute);
  expect(running.pusher.hub.scopes).toBe(0);
});

it('a scope goes five minutes after its last stream where they do not belong', async () => {
  const owner = Array.from({ length: 50 }, (_, at) => `10.0.1.${at}:15010`).find(
    (address) => ringOf([self, address]).first(namespace) === address,
  );
  await another(owner ?? '');
  await visit();
  expect(page()).toMatchObject({ namespaces: { [namespace]: owner } });
  await pass(4 * minute);
  expect(running.pusher.hub.scopes).toBe(1);
  await pass(2 * minute);
  expect(running.pusher.hub.scopes).toBe(0);
});

it('counts itself among the pushers', async () => {
  await pass(minute);
  expect(await running.metrics.value('watershed_pushers')).toBe(1);
});
