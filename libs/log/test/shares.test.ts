import { cooperativeStickyAssigner } from '@platformatic/kafka';
import { partitionOf } from '@watershed/model/keys.ts';
import { describe, expect, it } from 'vitest';

const topic = 'endpoints';
const partitions = 64;
const hosts = Array.from(
  { length: 20_000 },
  (_, at) => `svc-${at}.ns-${at % 40}.svc.cluster.local`,
);
const keysIn = Array.from({ length: partitions }, () => 0);
for (const host of hosts) keysIn[partitionOf(host, partitions)]! += 1;

type Members = ReadonlyMap<string, readonly number[]>;
type Group = Parameters<typeof cooperativeStickyAssigner>[1];

/** One round of the group's leader; what moves from one member to another takes two. */
function round(members: Members): Members {
  const group: Group = new Map();
  for (const [memberId, owned] of members) {
    const ownedPartitions = [{ topic, partitions: [...owned] }];
    group.set(memberId, {
      memberId,
      version: 3,
      topics: [topic],
      ownedPartitions,
      generationId: 1,
    });
  }
  const partition = { leader: 0, leaderEpoch: 0, replicas: [], isr: [], offlineReplicas: [] };
  const metadata = {
    ...{ id: 'cluster', brokers: new Map(), controllerId: 0, lastUpdate: 0 },
    topics: new Map([
      [
        topic,
        {
          ...{ id: 'topic', partitionsCount: partitions, lastUpdate: 0 },
          partitions: Array.from({ length: partitions }, () => partition),
        },
      ],
    ]),
  };
  const assigned = cooperativeStickyAssigner('', group, new Set([topic]), metadata);
  return new Map(
    assigned.map(({ memberId, assignments }) => {
      const all = [...assignments.values()].flatMap((one) => one.partitions);
      return [memberId, all] as const;
    }),
  );
}

function settled(members: Members): Members {
  return round(round(members));
}

function keysOf(owned: readonly number[]): number {
  return owned.reduce((sum, partition) => sum + (keysIn[partition] ?? 0), 0);
}

/** Keys that another member has afterwards. */
function moved(before: Members, after: Members): number {
  let keys = 0;
  for (const [member, owned] of after) {
    keys += keysOf(owned.filter((one) => !(before.get(member) ?? []).includes(one)));
  }
  return keys;
}

function shards(count: number): Members {
  return settled(new Map(Array.from({ length: count }, (_, at) => [`shard-${at}`, []])));
}

describe('64 partitions', () => {
  it('give the largest of 8 shards at most 1.2 of an equal share of the keys', () => {
    const keys = [...shards(8).values()].map(keysOf);
    expect(keys.reduce((sum, one) => sum + one, 0)).toBe(hosts.length);
    expect(Math.max(...keys)).toBeLessThanOrEqual((1.2 * hosts.length) / 8);
  });

  it('move at most 1.1 of an equal share of the keys to a shard that joins', () => {
    const before = shards(7);
    const after = settled(new Map([...before, ['shard-7', []]]));
    expect(moved(before, after)).toBeLessThanOrEqual((1.1 * hosts.length) / 8);
    expect(keysOf(after.get('shard-7') ?? [])).toBeGreaterThan(0);
  });

  it('move at most 1.1 of an equal share of the keys when a shard leaves', () => {
    const before = shards(8);
    const after = settled(new Map([...before].filter(([member]) => member !== 'shard-3')));
    expect(moved(before, after)).toBeLessThanOrEqual((1.1 * hosts.length) / 8);
    expect(keysOf([...after.values()].flat())).toBe(hosts.length);
  });
});
