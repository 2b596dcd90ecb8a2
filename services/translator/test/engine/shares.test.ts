/** What shards hold of what is keyed: counted on running engines, with the real plans. */
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { scopeId } from '@watershed/blob/scope-id.ts';
import { Feedback, ProxyType, type ScopeClass } from '@watershed/model/gen/record.ts';
import { partitionOf } from '@watershed/model/keys.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { expect, it } from 'vitest';
import { createPlans } from '../../src/assembly/plans.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { OutputRecord } from '../../src/engine/published.ts';
import { endpoints, noLogger, scopeClass, service, source } from './support/world.ts';

const partitions = 64;
const services = 1_500;
/** Routers: a sidecar's route table is one key with a fragment for each service. */
const scopes = ['shop', 'bank'].map((namespace) => ({
  ...scopeClass(namespace),
  type: ProxyType.PROXY_TYPE_ROUTER,
}));
const hosts = Array.from({ length: services }, (_, at) => `s${at}.ns-${at % 10}.svc.test`);

const config = [source(), ...hosts.map((host) => service({ host }))];
const places = new Map(hosts.map((host) => [host, partitionOf(host, partitions)]));

/** One shard: it knows all of config, and the endpoints of its partitions. */
class ShardUnderTest {
  readonly records = new Set<string>();
  readonly engine = new Engine({
    ...{ plans: createPlans, blobs: memoryBlobs(), clock: systemTime, timers: systemTime },
    ...{ logger: noLogger, metrics: new Metrics(), tracing: noTracing },
    ...{ cacheEntries: 100_000, assertion: { every: Infinity, random: () => 1 } as const },
    ...{ graceMs: 60_000, retainMs: 0, partitions, allRead: () => Promise.resolve() },
    onFatal: (error) => {
      throw error;
    },
  });

  async start(owned: readonly number[]): Promise<void> {
    this.#apply('config', 0, config);
    const value = (scope: ScopeClass): Uint8Array => {
      const demand = { scope: scopeId(scope), scopeClass: scope, expiresMs: Date.now() + 600_000 };
      return Feedback.encode({ report: { $case: 'demand', value: demand } }).finish();
    };
    this.engine.feedback(
      scopes.map((scope) => ({
        key: `d|p|${scopeId(scope)}`,
        value: value(scope),
        record: undefined,
      })),
    );
    this.engine.start({ append: async (records) => this.#take(records) });
    await this.gain(owned);
  }

  async gain(owned: readonly number[]): Promise<void> {
    for (const partition of owned) {
      const own = hosts.filter((host) => places.get(host) === partition);
      this.#apply(
        'endpoints',
        partition,
        own.map((host) => endpoints(host, '10.0.0.1')),
      );
    }
    await this.engine.gain(owned.map((partition) => ({ partition, current: [] })));
  }

  async lose(partition: number): Promise<void> {
    const own = hosts.filter((host) => places.get(host) === partition);
    await this.engine.lose(
      partition,
      own.map((host) => endpoints(host, '10.0.0.1').key),
    );
    await this.engine.idle();
  }

  #apply(
    topic: 'config' | 'endpoints',
    partition: number,
    appends: readonly { readonly key: string; readonly value: Uint8Array | undefined }[],
  ): void {
    const changes = appends.map(({ key, value }) => ({ key, value, record: undefined }));
    this.engine.apply(topic, partition, { changes, end: appends.length });
  }

  #take(records: readonly OutputRecord[]): void {
    for (const { key } of records) if (key.startsWith('r|')) this.records.add(key);
  }

  get keyed(): { readonly resources: number; readonly fragments: number; readonly inputs: number } {
    const { resources, cacheEntries } = this.engine.statistics;
    const inputs = [...this.engine.inputs.endpoints.entries()].length;
    return { resources, fragments: cacheEntries, inputs };
  }
}

async function shards(count: number): Promise<readonly ShardUnderTest[]> {
  const all = Array.from({ length: count }, () => new ShardUnderTest());
  for (const [at, shard] of all.entries()) {
    const owned = Array.from({ length: partitions / count }, (_, part) => part * count + at);
    await shard.start(owned);
  }
  return all;
}

it('8 shards hold together what one does alone, and the largest at most 1.2 of an equal share', async () => {
  const [alone] = await shards(1);
  const eight = await shards(8);
  expect(alone?.keyed.resources).toBeGreaterThan(2 * services);
  for (const what of ['resources', 'fragments', 'inputs'] as const) {
    const held = eight.map((shard) => shard.keyed[what]);
    const total = alone?.keyed[what] ?? 0;
    expect(Math.max(...held)).toBeLessThanOrEqual((1.2 * total) / 8);
    expect(held.reduce((sum, one) => sum + one)).toBe(total);
  }
  // Nothing is left out, and nothing is made by two.
  const made = eight.flatMap((shard) => [...shard.records]);
  expect(new Set(made)).toEqual(alone?.records);
  expect(made).toHaveLength(new Set(made).size);
});

it('a partition that moves takes its keys along, and comes back with all of them', async () => {
  const [one, other] = await shards(2);
  if (one === undefined || other === undefined) throw new Error('no shards');
  const before = one.keyed;
  const moved = [0, 2, 4];
  for (const partition of moved) await one.lose(partition);
  const between = other.keyed;
  await other.gain(moved);
  const lost = before.resources - one.keyed.resources;
  expect(lost).toBeGreaterThan(0);
  expect(other.keyed.resources - between.resources).toBe(lost);
  for (const partition of moved) await other.lose(partition);
  await one.gain(moved);
  expect(one.keyed).toEqual(before);
  expect(other.keyed.resources).toBe(between.resources);
});
