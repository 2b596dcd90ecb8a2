/** Types that are not Envoy's, through the engine: one record and one encoding for one change. */
import { Event, Workload } from '@watershed/model/gen/model.ts';
import { ProxyType, ScopeClass } from '@watershed/model/gen/record.ts';
import { endpointsKey, partitionOf, topics, xdsKeys } from '@watershed/model/keys.ts';
import type { Append } from '@watershed/log/port.ts';
import { typeUrls } from '@watershed/proto/any.ts';
import { expect, it } from 'vitest';
import { createPlans } from '../../src/assembly/plans.ts';
import { translatedOf } from './support/translated.ts';
import { graceMs, partitions, service } from './support/world.ts';
import type { World } from './support/world.ts';

const ztunnel = ScopeClass.create({ type: ProxyType.PROXY_TYPE_ZTUNNEL });
const uid = (name: string): string => `c//Pod/shop/${name}`;
const recordOf = (name: string): string => xdsKeys.resource(typeUrls.address, uid(name), '');

/** `version`: any field; `undefined`: the Pod is gone. */
function pod(name: string, version: string | undefined): Append {
  const value = Workload.fromPartial({
    uid: uid(name),
    name,
    namespace: 'shop',
    node: version ?? '',
  });
  const key = { cluster: 'c', kind: 'instance', namespace: 'shop', name } as const;
  const object = { $case: 'workload', value } as const;
  return {
    topic: topics.endpoints,
    partition: partitionOf(uid(name), partitions),
    key: endpointsKey({ ...key, host: uid(name) }),
    value: version === undefined ? undefined : Event.encode({ object }).finish(),
  };
}

const translated = (...appends: readonly Append[]): Promise<World> =>
  translatedOf(appends, { plans: createPlans, cacheEntries: 50_000 }, ztunnel);

const isOutput = (key: string): boolean => !key.startsWith('w|');

it('a change of one of 20,000 workloads is one record and one encoding; so is a new one', async () => {
  const all = Array.from({ length: 20_000 }, (_, at) => pod(`pod-${at}`, '1'));
  const world = await translated(...all, service({ host: 'web.shop.svc.cluster.local' }));
  const put = world.translator.engine.statistics.blobsPut;
  await world.write(pod('pod-7', '2'));
  expect(world.takeAppended().filter(isOutput)).toEqual([recordOf('pod-7')]);
  expect(world.translator.engine.statistics.blobsPut - put).toBe(1);
  await world.write(pod('new', '1'));
  expect(world.takeAppended().filter(isOutput)).toEqual([recordOf('new')]);
  await world.write(pod('new', undefined));
  expect(world.takeAppended().filter(isOutput)).toEqual([recordOf('new')]);
  // Where nothing came or went, no list is made anew but the part that it is looked for in.
  const before = world.translator.engine.statistics.computed;
  await world.write(pod('pod-8', '2'));
  const after = world.translator.engine.statistics.computed;
  expect((after['addressKeys'] ?? 0) - (before['addressKeys'] ?? 0)).toBe(1);
  expect((after['manifest'] ?? 0) - (before['manifest'] ?? 0)).toBe(0);
  expect((after['shared'] ?? 0) - (before['shared'] ?? 0)).toBe(1);
});

it('what is gone is taken back at once, what comes back is there, also for the next process', async () => {
  const world = await translated(pod('a', '1'), pod('b', '1'));
  await world.write(pod('a', undefined));
  expect((await world.outputs()).has(recordOf('a'))).toBe(false);
  await world.write(pod('a', '1'));
  await world.write(pod('a', '2'));
  expect((await world.outputs()).has(recordOf('a'))).toBe(true);
  await world.restart();
  await world.pass(graceMs + 1);
  expect((await world.outputs()).has(recordOf('a'))).toBe(true);
  await world.stop();
  await world.log.append([pod('b', undefined)]);
  await world.start();
  expect((await world.outputs()).has(recordOf('b'))).toBe(false);
  expect((await world.outputs()).has(recordOf('a'))).toBe(true);
});
