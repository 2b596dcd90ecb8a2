/** Blobs that the store has lost, and those that it is to lose. */
import { scopeId } from '@watershed/blob/scope-id.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { describe, expect, it } from 'vitest';
import { digestText } from '../../src/bytes.ts';
import type { ManifestPlan, PlansOf } from '../../src/plan.ts';
import { badPort, clusterType, testPlans } from './support/plans.ts';
import { shopRecords, translatedOf } from './support/translated.ts';
import { policy, service } from './support/world.ts';
import type { World, WorldOptions } from './support/world.ts';

const translated = (options: WorldOptions = {}): Promise<World> =>
  translatedOf(shopRecords, options);

/** Manifests name everything twice while there is a policy. */
const twice: PlansOf = (inputs) => {
  const plans = testPlans(inputs);
  const manifest = inputs.graph.query<ScopeClass, ManifestPlan>({
    name: 'twice',
    id: scopeId,
    compute: (read, scope) => {
      const { types } = read.query(plans.manifest, scope);
      if (read.lookup(inputs.indexes.policiesByHost, 'a.test').length === 0) return { types };
      return {
        types: types.map((type) => ({ ...type, shared: [...type.shared, ...type.shared] })),
      };
    },
  });
  return { ...plans, manifest };
};

describe('blobs', () => {
  it('that the store has lost are generated and put again, as often as they are asked for', async () => {
    const world = await translated();
    const all = new Map(world.blobs.held);
    for (let round = 0; round < 2; round++) {
      world.blobs.held.clear();
      await world.ask([...all.keys()]);
      expect(new Map([...world.blobs.held].sort())).toEqual(new Map([...all].sort()));
    }
    expect(world.takeAppended()).toEqual([]);
  });

  it("that no record of its partitions names are not its loss, but another shard's or nobody's", async () => {
    const world = await translated();
    await world.ask(['00'.repeat(16), ...world.blobs.held.keys()]);
    expect(world.fatal).toEqual([]);
    expect(await world.metrics.value('watershed_blobs_lost_total')).toBe(0);
  });

  it('that its records name and nothing makes any more are lost', async () => {
    const world = await translated();
    const { fragments = [] } = (await world.resource(clusterType, 'a.test')) ?? {};
    const digest = digestText(fragments[0] ?? new Uint8Array());
    // The last good one stays on the log; who has started since has never made it.
    await world.write(service({ host: 'a.test', port: badPort }));
    await world.restart();
    world.blobs.held.clear();
    await world.ask([digest]);
    expect(world.fatal).toEqual([]);
    expect(await world.metrics.value('watershed_blobs_lost_total')).toBe(1);
  });

  it('of a manifest whose plan names a resource twice by now are lost as well', async () => {
    const world = await translated({ plans: twice });
    await world.write(policy('a.test', 5));
    const all = [...world.blobs.held.keys()];
    world.blobs.held.clear();
    await world.ask(all);
    expect(world.fatal).toEqual([]);
    expect(await world.metrics.value('watershed_blobs_lost_total')).toBe(1);
  });

  it('are dropped once no record has named them for two rounds', async () => {
    const world = await translated({ retainMs: 1_000 });
    const [old] = (await world.resource(clusterType, 'a.test'))?.fragments ?? [];
    const digest = digestText(old ?? new Uint8Array());
    await world.restart({ cacheEntries: 0 });
    await world.pass(1_000);
    await world.write(policy('a.test', 5));
    await world.pass(1_000);
    expect(world.blobs.held.has(digest)).toBe(true);
    await world.pass(1_000);
    expect(world.blobs.held.has(digest)).toBe(false);
    const { fragments = [] } = (await world.resource(clusterType, 'a.test')) ?? {};
    expect(world.blobs.held.has(digestText(fragments[0] ?? new Uint8Array()))).toBe(true);
  });
});
