/** Partitions change hands between running translators. */
import { encodeEpoch, epochHeader, isClaimKey } from '@watershed/log/ownership.ts';
import type { PartitionGroup } from '@watershed/log/group.ts';
import type { Log, LogRecord } from '@watershed/log/port.ts';
import { XdsRecord } from '@watershed/model/gen/record.ts';
import { partitionOf, topics, xdsKeys } from '@watershed/model/keys.ts';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { endpointsType } from './engine/support/plans.ts';
import {
  endpoints,
  noLogger,
  partitions,
  scopeClass,
  service,
  source,
  World,
} from './engine/support/world.ts';

const host = 'a.test';
const partition = partitionOf(host, partitions);
const worlds: World[] = [];

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

/** Who believes that all partitions are its own, whatever others believe. */
const all: PartitionGroup = {
  shared: true,
  join: (assigned) => assigned(new Set(Array.from({ length: partitions }, (_, at) => at))),
  leave: () => Promise.resolve(),
};

/**
 * The log as a translator sees it for whom endpoints that come after the start are late: until it
 * asks where they end, or says something of them.
 */
function withLateEndpoints(log: Log, onClaim: () => Promise<void>): Log {
  const arrived = Promise.withResolvers<void>();
  let hasClaimed = false;
  return {
    ...log,
    append: async (records) => {
      const own = records.filter(
        (record) => record.topic === topics.xds && record.partition === partition,
      );
      if (!hasClaimed && own.some(({ key }) => isClaimKey(key))) {
        hasClaimed = true;
        await onClaim();
      }
      const offsets = await log.append(records);
      if (own.some(({ key }) => key.startsWith('r|'))) arrived.resolve();
      return offsets;
    },
    end: (topic, index) => {
      if (hasClaimed && topic === topics.endpoints && index === partition) arrived.resolve();
      return log.end(topic, index);
    },
    async *read(topic, index, from, signal) {
      let isFirst = true;
      for await (const batch of log.read(topic, index, from, signal)) {
        if (topic === topics.endpoints && index === partition && !isFirst) await arrived.promise;
        isFirst = false;
        yield batch;
      }
    },
  };
}

/** `putBack` tells who owns outputs that the log was put back to an older copy. */
function withOlderCopies(log: Log): { readonly log: Log; putBack: () => void } {
  let putBack = Promise.withResolvers<void>();
  return {
    putBack: () => {
      putBack.resolve();
      putBack = Promise.withResolvers();
    },
    log: {
      ...log,
      async *read(topic, index, from, signal) {
        const batches = log.read(topic, index, from, signal)[Symbol.asyncIterator]();
        if (topic !== topics.xds) {
          yield* { [Symbol.asyncIterator]: () => batches };
          return;
        }
        let next = batches.next();
        for (;;) {
          const batch = await Promise.race([next, putBack.promise]);
          if (batch === undefined) {
            const position = { topicId: 'older', offset: 0 };
            yield { reset: 'beyond-end', records: [], position, caughtUp: true };
          } else if (batch.done === true) return;
          else {
            yield batch.value;
            next = batches.next();
          }
        }
      },
    },
  };
}

async function recordsOf(world: World, key: string): Promise<readonly LogRecord[]> {
  const records: LogRecord[] = [];
  const stop = new AbortController();
  for await (const batch of world.log.read(topics.xds, partition, undefined, stop.signal)) {
    records.push(...batch.records.filter((record) => record.key === key));
    if (batch.caughtUp) break;
  }
  stop.abort();
  return records;
}

/** What the log has said of the host, in order. */
async function said(world: World): Promise<readonly unknown[]> {
  const records = await recordsOf(world, xdsKeys.resource(endpointsType, host, ''));
  return records.map(({ value = new Uint8Array(0) }) => {
    const { record } = XdsRecord.decode(value);
    return record?.$case === 'resource' ? world.decode(record.value) : undefined;
  });
}

it('who takes a partition over takes nothing back that its last owner said up to then', async () => {
  const world = await World.open();
  worlds.push(world);
  await world.write(source(), endpoints(host, '10.0.0.1'), service({ host }));
  await world.demand(scopeClass('shop'));
  await world.start({ group: all });
  await world.startAnother({
    group: all,
    through: (log) => withLateEndpoints(log, () => world.write(endpoints(host, '10.0.0.2'))),
  });
  expect(await said(world)).toEqual([
    { host, addresses: ['10.0.0.1'] },
    { host, addresses: ['10.0.0.2'] },
  ]);
});

it('who loses partitions because the log is an older copy takes them over again at once', async () => {
  const world = await World.open();
  worlds.push(world);
  await world.write(source());
  let putBack = (): void => undefined;
  const through = (log: Log): Log => {
    const wrapped = withOlderCopies(log);
    ({ putBack } = wrapped);
    return wrapped.log;
  };
  await world.start({ group: all, through });
  const claims = (): number =>
    world.steps.flatMap((step) =>
      step.did === 'append' ? step.records.filter(({ key }) => isClaimKey(key)) : [],
    ).length;
  world.steps.length = 0;
  putBack();
  // No time passes in this world.
  await vi.waitFor(() => expect(claims()).toBeGreaterThanOrEqual(partitions));
  await world.quiet();
  await world.write(endpoints(host, '10.0.0.1'), service({ host }));
  await world.demand(scopeClass('shop'));
  expect((await said(world)).at(-1)).toEqual({ host, addresses: ['10.0.0.1'] });
  expect(world.fatal).toEqual([]);
});

it('partitions that another shard takes are one line of the log, with how many and by whom', async () => {
  const world = await World.open();
  worlds.push(world);
  await world.write(source());
  const lines: unknown[] = [];
  const logger = { ...noLogger, warn: (...line: readonly unknown[]) => void lines.push(line) };
  await world.start({ group: all, logger });
  await world.startAnother({ group: all });
  await world.pass(1_000);
  const reason = expect.stringMatching(/^xds\/\d is lost: test claimed all of it at offset \d+$/u);
  expect(lines).toEqual([['another shard has taken partitions', { partitions, reason }]]);
});

describe('where the blob store was never reached', () => {
  const waiting = async (
    group: PartitionGroup,
  ): Promise<{ world: World; reach: () => Promise<void> }> => {
    const world = await World.open();
    worlds.push(world);
    await world.write(source());
    const store = Promise.withResolvers<void>();
    world.blobs.reached = store.promise;
    const started = world.start({ group });
    const missing = ['translator-blobs', 'translator-partitions'];
    await vi.waitFor(() => expect(world.readiness.missing).toEqual(missing));
    return {
      world,
      reach: () => {
        store.resolve();
        return started;
      },
    };
  };

  it('a shard leaves partitions to the others until it is, and is not ready', async () => {
    const join = vi.fn<PartitionGroup['join']>(all.join);
    const { world, reach } = await waiting({ ...all, join });
    expect(join).not.toHaveBeenCalled();
    await reach();
    expect(join).toHaveBeenCalledOnce();
    for (const metric of ['watershed_partitions_assigned', 'watershed_partitions_owned']) {
      expect(await world.metrics.value(metric)).toBe(partitions);
    }
  });

  it('a shard can be stopped', async () => {
    const join = vi.fn<PartitionGroup['join']>();
    const { world, reach } = await waiting({ ...all, join });
    await world.stop();
    void reach();
    expect(join).not.toHaveBeenCalled();
    expect(world.fatal).toEqual([]);
  });
});

it('what a shard was given and cannot take over for long is said while that is so', async () => {
  const world = await World.open();
  worlds.push(world);
  await world.write(source(), endpoints(host, '10.0.0.1'), service({ host }));
  await world.demand(scopeClass('shop'));
  world.blobs.failing = Number.POSITIVE_INFINITY;
  const started = world.start({ group: all });
  const { readiness, metrics } = world;
  await vi.waitFor(async () => {
    expect(await metrics.value('watershed_partitions_assigned')).toBe(partitions);
  });
  expect(readiness.remarks).toEqual([]);
  await world.advance(10_000);
  expect(readiness.remarks).toEqual([`${partitions} partitions are not taken over for 10 s`]);
  expect(await metrics.value('watershed_partitions_owned')).toBe(0);
  world.blobs.failing = 0;
  await vi.waitFor(async () => {
    await world.advance(10_000);
    expect(readiness.ready).toBe(true);
  });
  await started;
  expect(readiness.remarks).toEqual([]);
});

it('a log that does not answer does not hold up the end', async () => {
  const world = await World.open();
  worlds.push(world);
  await world.write(source(), endpoints(host, '10.0.0.1'), service({ host }));
  await world.demand(scopeClass('shop'));
  let isSilent = false;
  const silent = new Promise<never>(() => undefined);
  const through = (log: Log): Log => ({
    ...log,
    append: (records) => (isSilent ? silent : log.append(records)),
  });
  await world.start({ through });
  isSilent = true;
  await world.log.append([endpoints(host, '10.0.0.2')]);
  await vi.waitFor(async () => expect(await world.translator.lag()).toBe(0));
  const stopped = world.stop();
  await world.advance(10_000);
  await stopped;
});

it('what nobody can know of a key is taken back, so that all readers agree', async () => {
  const world = await World.open();
  worlds.push(world);
  const key = xdsKeys.resource(endpointsType, 'gone.test', '');
  // Of an owner of before an old copy of the log was put back.
  const headers = { [epochHeader]: encodeEpoch(1_000, undefined) };
  await world.log.append([{ topic: topics.xds, partition, key, value: undefined, headers }]);
  await world.write(source());
  await world.start();
  const last = (await recordsOf(world, key)).at(-1);
  expect(last?.value).toBeUndefined();
  expect(last?.headers[epochHeader]).not.toBe(headers[epochHeader]);
});
