import { describe, expect, it } from 'vitest';
import { OwnedPartition } from '@watershed/log/owned.ts';
import { XdsRecord, type SharedResource } from '@watershed/model/gen/record.ts';
import { topics, xdsKeys } from '@watershed/model/keys.ts';
import { digestText } from '../../src/bytes.ts';
import {
  badHost,
  badPort,
  clusterType,
  endpointsType,
  listenerType,
  routeType,
  testPlans,
  TestGenerators,
} from './support/plans.ts';
import { openWorld, shop, shopRecords, translatedOf } from './support/translated.ts';
import {
  endpoints,
  graceMs,
  partitions,
  policy,
  route,
  scopeClass,
  service,
  sidecar,
  source,
} from './support/world.ts';
import type { World, WorldOptions } from './support/world.ts';

const translated = (options: WorldOptions = {}): Promise<World> =>
  translatedOf(shopRecords, options);

describe('what is translated', () => {
  it('is shared resources, a manifest, selectors and watermarks, with every blob in the store', async () => {
    const world = await translated();
    const outputs = await world.outputs();
    expect([...outputs.keys()]).toEqual([
      expect.stringMatching(/^m\|[0-9a-f]{32}$/u),
      `r|${clusterType}|a.test|`,
      `r|${clusterType}|b.test|`,
      `r|${endpointsType}|a.test|`,
      `r|${endpointsType}|b.test|`,
      's|',
      'w|0',
      'w|1',
    ]);
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ host: 'a.test' });
    expect(await world.read(endpointsType, 'a.test')).toEqual({
      host: 'a.test',
      addresses: ['10.0.0.1'],
    });
    const [scope = ''] = [...outputs.keys()];
    const manifest = await world.manifest(scope.slice(2));
    expect(
      manifest?.types.map((t) => [t.typeUrl, t.shared.map((s) => s.name), t.own.length]),
    ).toEqual([
      [clusterType, ['a.test', 'b.test'], 0],
      [endpointsType, ['a.test', 'b.test'], 0],
      [listenerType, [], 1],
      [routeType, [], 1],
    ]);
  });

  it('keeps a cluster and its assignment in the partition of their host', async () => {
    const world = await translated();
    const outputs = await world.outputs();
    for (const host of ['a.test', 'b.test']) {
      const [cluster, assignment] = [clusterType, endpointsType].map((type) =>
        outputs.get(xdsKeys.resource(type, host, '')),
      );
      expect(cluster?.at).toBe(assignment?.at);
    }
  });

  it('composes a resource of the fragments of its parts, and counts their bytes', async () => {
    const world = await translated();
    await world.write(route('s', 'b.test'));
    const scope = await world.demand(shop);
    const own = (await world.manifest(scope))?.types.at(-1)?.own[0];
    const parts = [
      JSON.stringify({ hosts: ['r.test'], targets: ['a.test'] }),
      JSON.stringify({ hosts: ['s.test'], targets: ['b.test'] }),
    ];
    expect(own && world.decode(own)).toEqual(parts);
    expect(own?.size).toBe(parts.join('').length);
  });
});

describe('the order of the cut', () => {
  it('is blobs, then shared resources, then manifests, then the watermark of each partition', async () => {
    const world = await translated();
    world.takeAppended();
    await world.write(service({ host: 'c.test' }), endpoints('c.test', '10.0.0.3'));
    const stored = new Set<string>();
    const appended: string[] = [];
    for (const step of world.steps) {
      if (step.did === 'put') for (const digest of step.digests) stored.add(digest);
      else appended.push(...step.records.map((r) => `${r.partition} ${r.key.slice(0, 1)}`));
    }
    const outputs = await world.outputs();
    for (const { record } of outputs.values()) {
      if (record?.$case !== 'resource') continue;
      for (const digest of record.value.fragments) {
        expect(world.blobs.held.has(digestText(digest))).toBe(true);
      }
    }
    expect(world.steps.findIndex((step) => step.did === 'append')).toBeGreaterThan(
      world.steps.findIndex((step) => step.did === 'put'),
    );
    for (let partition = 0; partition < partitions; partition++) {
      const order = appended.filter((a) => a.startsWith(`${partition} `)).map((a) => a.at(-1));
      expect(order.at(-1)).toBe('w');
      expect(order.join('')).toMatch(/^r*m*s*w$/u);
    }
  });

  it('waits for the blobs: while the store is away no record is appended', async () => {
    const world = await translated();
    world.blobs.failing = 3;
    await world.log.append([service({ host: 'c.test' })]);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(world.takeAppended()).toEqual([]);
    await world.pass(1_000);
    expect(world.takeAppended()).toContain(`r|${clusterType}|c.test|`);
  });

  it('gives what config changed the epoch of the change, and a watermark to every partition', async () => {
    const world = await translated();
    const { offset } = await world.log.end(topics.config, 0);
    await world.write(policy('a.test', 5));
    const outputs = await world.outputs();
    expect(outputs.get(`r|${clusterType}|a.test|`)?.epoch).toBe(offset + 1);
    expect(outputs.get(`r|${clusterType}|b.test|`)?.epoch).toBeLessThanOrEqual(offset);
    for (const key of ['w|0', 'w|1']) {
      expect(outputs.get(key)?.record).toEqual({
        $case: 'watermark',
        value: { partition: Number(key.at(-1)), epoch: offset + 1 },
      });
    }
  });

  it('publishes an endpoint at once, without an epoch of its own and without a watermark', async () => {
    const world = await translated();
    const before = (await world.outputs()).get(`r|${endpointsType}|a.test|`)?.epoch ?? -1;
    await world.write(endpoints('a.test', '10.0.0.1', '10.0.0.2'));
    expect(world.takeAppended()).toEqual([`r|${endpointsType}|a.test|`]);
    const after = (await world.outputs()).get(`r|${endpointsType}|a.test|`);
    expect(after?.epoch).toBe(before);
    expect(after?.epoch).toBeLessThanOrEqual(world.translator.engine.epoch);
  });
});

describe('silence', () => {
  it('an equal value written again moves watermarks and nothing else', async () => {
    const world = await translated();
    const before = await world.metrics.text();
    await world.write(service({ host: 'a.test' }), endpoints('a.test', '10.0.0.1'), source());
    // Another shard may have seen more of the key, so what of it counts as a change.
    expect(world.takeAppended()).toEqual(['w|0', 'w|1']);
    const generations = (text: string): readonly string[] =>
      text.split('\n').filter((line) => /generations|encodings|stage_seconds_count/u.test(line));
    expect(generations(await world.metrics.text())).toEqual(generations(before));
  });

  it('a restart generates again, and appends nothing', async () => {
    const world = await translated();
    await world.write(policy('a.test', 5), service({ host: 'c.test' }));
    const before = await world.outputs();
    world.takeAppended();
    await world.restart();
    expect(world.takeAppended()).toEqual([]);
    expect(await world.outputs()).toEqual(before);
  });

  it('a change of one service makes that cluster, and a change that nothing reads makes nothing', async () => {
    const world = await translated();
    const made = async (): Promise<number> =>
      world.metrics.value('watershed_generations_total', { generator: 'cluster' });
    const before = await made();
    await world.write(service({ host: 'a.test', port: 8080 }));
    expect(world.takeAppended().filter((key) => key.startsWith('r|'))).toEqual([
      `r|${clusterType}|a.test|`,
    ]);
    expect(await made()).toBe(before + 1);
    await world.write(policy('elsewhere.test', 5));
    expect(world.takeAppended().filter((key) => !key.startsWith('w|'))).toEqual([]);
    expect(await made()).toBe(before + 1);
  });

  it('a value that goes and comes back is generated once', async () => {
    const world = await translated({ assertion: { every: 1_000_000, random: () => 0.5 } });
    await world.write(policy('a.test', 5));
    const made = await world.metrics.value('watershed_generations_total', { generator: 'cluster' });
    // A counter that is born as 1 has never grown, to Prometheus.
    for (const name of [
      'watershed_generation_failures_total',
      'watershed_assertion_failures_total',
    ]) {
      expect(await world.metrics.value(name, { generator: 'cluster' })).toBe(0);
    }
    await world.write(policy('a.test'));
    await world.write(policy('a.test', 5));
    const after = await world.metrics.value('watershed_generations_total', {
      generator: 'cluster',
    });
    expect(after).toBe(made);
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 5 });
  });

  it('a burst is one pass: its manifest is appended once', async () => {
    const world = await translated();
    const many = Array.from({ length: 50 }, (_, at) => service({ host: `s${at}.test` }));
    await world.write(...many);
    expect(world.takeAppended().filter((key) => key.startsWith('m|'))).toHaveLength(1);
  });
});

describe('last good', () => {
  it('a generator that fails leaves the record as it is, tells the object, and recovers by itself', async () => {
    const world = await translated();
    const before = await world.resource(clusterType, 'a.test');
    await world.write(service({ host: 'a.test', port: badPort }), service({ host: 'c.test' }));
    expect(await world.resource(clusterType, 'a.test')).toEqual(before);
    expect(await world.resource(clusterType, 'c.test')).toBeDefined();
    expect(world.translator.engine.findings).toEqual([
      expect.objectContaining({
        object: 'c|service|shop|a.test',
        severity: 'error',
        reason: expect.stringContaining('port 13 is unlucky'),
      }),
    ]);
    await world.write(service({ host: 'a.test', port: 81 }));
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ ports: [{ number: 81 }] });
    expect(world.translator.engine.findings).toEqual([]);
  });

  it('survives a restart: the log has it', async () => {
    const world = await translated();
    await world.write(service({ host: 'a.test', port: badPort }), route('bad', 'b.test'));
    const before = await world.outputs();
    world.takeAppended();
    await world.restart();
    expect(world.takeAppended()).toEqual([]);
    expect(await world.outputs()).toEqual(before);
    expect(world.translator.engine.findings).toMatchObject([{ object: 'c|service|shop|a.test' }]);
  });

  it('a resource that never was good is left out of the manifest until it is', async () => {
    const world = await translated();
    const scope = await world.demand(shop);
    const clusters = async (): Promise<readonly string[] | undefined> =>
      (await world.manifest(scope))?.types[0]?.shared.map((ref) => ref.name);
    await world.write(service({ host: 'c.test', port: badPort }));
    expect(await clusters()).toEqual(['a.test', 'b.test']);
    await world.write(service({ host: 'c.test' }));
    expect(await clusters()).toEqual(['a.test', 'b.test', 'c.test']);
  });

  it('what a scope has of its own stays as well, while the rest of its manifest goes on', async () => {
    const world = await translated();
    const scope = await world.demand(shop);
    const listener = async (): Promise<unknown> =>
      (await world.manifest(scope))?.types.find((t) => t.typeUrl === listenerType)?.own[0];
    const before = await listener();
    await world.write(service({ host: '*.bad' }));
    expect(await listener()).toEqual(before);
    const names = (await world.manifest(scope))?.types[0]?.shared.map((ref) => ref.name);
    expect(names).toEqual(['*.bad', 'a.test', 'b.test']);
    await world.restart();
    expect(await listener()).toEqual(before);
    await world.write(service({ host: '*.bad', gone: true }));
    expect(await listener()).toEqual(before);
    expect(world.translator.engine.findings).toEqual([]);
  });

  it('keeps the whole manifest when its own last good part is lost with the blob store', async () => {
    const world = await translated();
    await world.write(service({ host: '*.bad' }));
    const before = await world.outputs();
    world.blobs.held.clear();
    await world.restart();
    expect(await world.outputs()).toEqual(before);
    await world.pass(3 * graceMs);
    expect(await world.outputs()).toEqual(before);
  });

  it('a plan that cannot be made keeps the resource, also after a restart', async () => {
    const world = await translated();
    await world.write(service({ host: badHost }));
    expect(await world.resource(clusterType, badHost)).toBeUndefined();
    expect(world.translator.engine.findings).toMatchObject([
      { severity: 'error', reason: expect.stringContaining('cannot be planned') },
    ]);
    const scope = await world.demand(shop);
    expect((await world.manifest(scope))?.types[0]?.shared).toHaveLength(2);
  });

  it('a record that cannot be read keeps the object, and is told', async () => {
    const world = await translated();
    const { key } = service({ host: 'a.test' });
    const before = await world.content();
    await world.write({ topic: topics.config, partition: 0, key, value: Uint8Array.of(255, 1) });
    expect(await world.content()).toEqual(before);
    expect(world.translator.engine.findings).toMatchObject([{ object: key, severity: 'error' }]);
    await world.write(service({ host: 'a.test' }));
    expect(world.translator.engine.findings).toEqual([]);
  });

  it('what a generator could not honour is told as a warning, and gone when it is', async () => {
    const world = await translated();
    await world.write(policy('a.test', 0));
    expect(world.translator.engine.findings).toEqual([
      {
        object: 'a.test',
        field: 'timeout',
        value: '0',
        reason: 'is ignored',
        severity: 'warning',
        at: `${clusterType}\na.test\n`,
      },
    ]);
    expect(await world.metrics.value('watershed_diagnostics', { severity: 'warning' })).toBe(1);
    await world.write(policy('a.test', 1));
    expect(world.translator.engine.findings).toEqual([]);
  });
});

describe('a scope', () => {
  it('is computed while it is demanded and for a grace after, then taken back with what it listed', async () => {
    const world = await translated();
    const other = await world.demand(scopeClass('other'), 'q', 10_000);
    await world.write(service({ host: 'o.test', exportTo: ['other'] }));
    expect(await world.resource(clusterType, 'o.test')).toBeDefined();
    await world.pass(10_000 + graceMs - 1);
    expect(await world.manifest(other)).toBeDefined();
    await world.pass(1);
    expect((await world.outputs()).has(xdsKeys.manifest(other))).toBe(false);
    expect(await world.resource(clusterType, 'o.test')).toBeDefined();
    await world.pass(graceMs);
    expect(await world.resource(clusterType, 'o.test')).toBeUndefined();
    expect(await world.resource(clusterType, 'a.test')).toBeDefined();
    expect(world.translator.engine.statistics.scopes).toBe(1);
  });

  it('is computed for a pusher whose clock is far behind, until that asks no more', async () => {
    const world = await translated();
    const other = await world.demand(scopeClass('other'), 'q', -10 * graceMs);
    await world.pass(graceMs - 1);
    expect(await world.manifest(other)).toBeDefined();
    await world.pass(1);
    expect(await world.manifest(other)).toBeUndefined();
  });

  it('is not computed at a start for who asked long ago', async () => {
    const world = await openWorld();
    const scope = await world.demand(shop, 'q', -10 * graceMs);
    await world.start();
    expect(await world.manifest(scope)).toBeUndefined();
  });

  it('stays while any pusher asks for it, and when the demand is renewed', async () => {
    const world = await translated();
    const other = await world.demand(scopeClass('other'), 'q', 10_000);
    await world.demand(scopeClass('other'), 'r', 20_000);
    await world.pass(15_000);
    await world.demand(scopeClass('other'), 'q', 60_000);
    await world.pass(60_000 + graceMs - 1);
    expect(await world.manifest(other)).toBeDefined();
    await world.pass(1);
    expect(await world.manifest(other)).toBeUndefined();
  });

  it('that comes back within the grace costs nothing', async () => {
    const world = await translated();
    const demand = `d|p|${await world.demand(shop)}`;
    world.takeAppended();
    await world.write({ topic: topics.feedback, partition: 0, key: demand, value: undefined });
    await world.pass(graceMs / 2);
    await world.demand(shop);
    await world.pass(graceMs);
    expect(world.takeAppended()).toEqual([]);
  });

  it('whose pushers are restarting is served on by a translator that restarts meanwhile', async () => {
    const world = await translated();
    const scope = await world.demand(shop);
    await world.stop();
    await world.write({
      topic: topics.feedback,
      partition: 0,
      key: `d|p|${scope}`,
      value: undefined,
    });
    await world.start();
    await world.write(policy('a.test', 9));
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 9 });
    await world.pass(graceMs);
    expect((await world.outputs()).has(xdsKeys.manifest(scope))).toBe(false);
  });

  it('never seen before is held until every source is synced; a known one is not', async () => {
    const world = await translated();
    const known = await world.demand(shop);
    await world.write(source(false, 'second'));
    const fresh = await world.demand(scopeClass('fresh'));
    await world.write(sidecar('fresh', 'app'), service({ host: 'c.test' }));
    expect(await world.manifest(fresh)).toBeUndefined();
    expect((await world.outputs()).has('s|fresh')).toBe(false);
    expect((await world.manifest(known))?.types[0]?.shared).toHaveLength(3);
    expect(world.translator.engine.statistics.scopesHeld).toBe(1);
    await world.write(source(true, 'second'));
    expect(await world.manifest(fresh)).toBeDefined();
    expect((await world.outputs()).has('s|fresh')).toBe(true);
    expect(world.translator.engine.statistics.scopesHeld).toBe(0);
  });

  it('is held while there is no source at all: nothing seen is not nothing there', async () => {
    const world = await openWorld();
    await world.start();
    const scope = await world.demand(shop);
    expect(world.takeAppended()).toEqual([]);
    await world.write(source());
    expect((await world.outputs()).has(xdsKeys.manifest(scope))).toBe(true);
  });

  it('whose class is not that of its name is ignored', async () => {
    const world = await translated();
    const scope = await world.demand(scopeClass('other'));
    await world.log.append([]);
    const value = new Uint8Array([10, 2, 10, 0]);
    await world.write({ topic: topics.feedback, partition: 0, key: 'd|evil|x', value });
    expect(world.translator.engine.statistics.scopes).toBe(2);
    expect(await world.manifest(scope)).toBeDefined();
  });
});

describe('selectors', () => {
  it('are one record for all, and one for each namespace that differs', async () => {
    const world = await translated();
    await world.write(sidecar('shop', 'app'));
    const selectors = async (): Promise<unknown> => {
      const records = [...(await world.outputs())].filter(([key]) => key.startsWith('s|'));
      return records.map(([key, { record }]) => [key, record?.value]);
    };
    expect(await selectors()).toEqual([
      ['s|', { labelKeys: [], locality: false }],
      ['s|shop', { labelKeys: ['app'], locality: false }],
    ]);
    await world.write(sidecar('shop', undefined));
    expect(await selectors()).toEqual([['s|', { labelKeys: [], locality: false }]]);
  });
});

describe('what is small and pushed at once', () => {
  const change = async (world: World, address: string): Promise<SharedResource | undefined> => {
    await world.write(endpoints('a.test', address));
    return world.resource(endpointsType, 'a.test');
  };
  const stored = (world: World, resource: SharedResource | undefined): boolean =>
    resource?.fragments.every((digest) => world.blobs.held.has(digestText(digest))) === true;

  it('is in its record, and in the store for as long as some pusher looks for it there', async () => {
    const world = await translated();
    const text = new TextDecoder();
    const unknown = await change(world, '10.0.0.2');
    expect(unknown?.inlined.map((bytes) => text.decode(bytes))).toEqual([
      JSON.stringify({ host: 'a.test', addresses: ['10.0.0.2'] }),
    ]);
    expect(stored(world, unknown)).toBe(true);
    await world.pusher('new', true);
    await world.pusher('old', false, 10_000);
    expect(stored(world, await change(world, '10.0.0.3'))).toBe(true);
    await world.pass(10_000);
    const alone = await change(world, '10.0.0.4');
    expect(alone?.inlined).toHaveLength(1);
    expect(stored(world, alone)).toBe(false);
  });

  it('is put into the store when a pusher asks for it', async () => {
    const world = await translated();
    await world.pusher('new', true);
    const resource = await change(world, '10.0.0.2');
    await world.ask((resource?.fragments ?? []).map(digestText));
    expect(stored(world, resource)).toBe(true);
  });

  it('has its bytes again when an earlier value comes back, and is generated once', async () => {
    const world = await translated({ assertion: { every: 1_000_000, random: () => 0.5 } });
    await world.pusher('new', true);
    const first = await change(world, '10.0.0.2');
    await change(world, '10.0.0.3');
    const made = await world.metrics.value('watershed_generations_total', {
      generator: 'endpoints',
    });
    expect(await change(world, '10.0.0.2')).toEqual(first);
    expect(
      await world.metrics.value('watershed_generations_total', { generator: 'endpoints' }),
    ).toBe(made);
  });

  it('is in the store alone when it is not small', async () => {
    const world = await translated();
    await world.pusher('new', true);
    const many = Array.from({ length: 100 }, (_, at) => `10.0.0.${at}`);
    await world.write(endpoints('a.test', ...many));
    const resource = await world.resource(endpointsType, 'a.test');
    expect(resource?.inlined).toEqual([]);
    expect(stored(world, resource)).toBe(true);
  });

  it('is not appended again for being in its record, or for not being there', async () => {
    const world = await translated();
    const key = xdsKeys.resource(endpointsType, 'a.test', '');
    const value = (await world.outputs()).get(key);
    if (value?.record?.$case !== 'resource') throw new Error('no record');
    const bare = { ...value.record, value: { ...value.record.value, inlined: [] } };
    const bytes = XdsRecord.encode({ record: bare, epoch: value.epoch }).finish();
    await world.stop();
    const owner = await OwnedPartition.open({
      ...{ log: world.log, topic: topics.xds, partition: Number(value.at) },
      ...{ writer: 'of the previous schema', time: world.time },
    });
    await owner.set(key, bytes);
    await owner.close();
    await world.start();
    expect(world.takeAppended()).toEqual([]);
    expect((await world.resource(endpointsType, 'a.test'))?.inlined).toEqual([]);
  });
});

describe('the generator cache', () => {
  it('holds no more than it may, and counts what it drops', async () => {
    const world = await translated({ cacheEntries: 3 });
    const many = Array.from({ length: 20 }, (_, at) => service({ host: `s${at}.test` }));
    await world.write(...many);
    expect(world.translator.engine.statistics.cacheEntries).toBe(3);
    expect(await world.metrics.value('xds_cache_size')).toBe(3);
    expect(await world.metrics.value('xds_cache_evictions', { type: 'size' })).toBeGreaterThan(30);
    expect(await world.read(clusterType, 's0.test')).toMatchObject({ host: 's0.test' });
  });

  it('in assertion mode finds a generator that reads more than its argument, and stops', async () => {
    const generators = new TestGenerators();
    const world = await translated({ plans: (inputs) => testPlans(inputs, generators) });
    await world.write(policy('a.test', 5));
    generators.smuggled = 'x';
    await world.write(policy('a.test'));
    expect(String(world.fatal[0])).toContain('cluster gave other bytes');
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 5, smuggled: '' });
    await world.stop();
  });

  it('in sampled mode counts it, and goes on with the new bytes', async () => {
    const generators = new TestGenerators();
    const world = await translated({
      plans: (inputs) => testPlans(inputs, generators),
      assertion: { every: 1, random: () => 0.5 },
    });
    await world.write(policy('a.test', 5));
    generators.smuggled = 'x';
    await world.write(policy('a.test'));
    expect(world.fatal).toEqual([]);
    expect(
      await world.metrics.value('watershed_assertion_failures_total', { generator: 'cluster' }),
    ).toBe(1);
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ smuggled: 'x' });
  });
});

describe('ownership', () => {
  it('ends when another process takes the partitions: it stops, and its word is void', async () => {
    const world = await translated();
    const first = world.translator;
    await world.start();
    expect(world.fatal.map(String)).toEqual([expect.stringMatching(/claimed/u)]);
    await first.stop();
    await world.write(policy('a.test', 7));
    expect(await world.read(clusterType, 'a.test')).toMatchObject({ timeoutMs: 7 });
  });
});
