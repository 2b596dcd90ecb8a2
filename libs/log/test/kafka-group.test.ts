import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestKafka, type TestKafka } from '../../../test/components/kafka.ts';
import type { PartitionGroup } from '../src/group.ts';
import { createKafkaGroup } from '../src/kafka/group.ts';
import { openKafkaLog } from '../src/kafka.ts';
import { realTime, sleep, until } from './support.ts';

const topic = 'shared-out';
const partitions = 64;

/** A member, and what it was told last. */
interface Member {
  readonly group: PartitionGroup;
  owned: ReadonlySet<number>;
  /** Partitions that it got, counted each time. */
  moved: number;
}

describe('a partition group on Kafka', () => {
  let kafka: TestKafka;
  let members: Member[] = [];
  let groupId = 'group';

  beforeAll(async () => {
    kafka = await startTestKafka({ config: { 'group.initial.rebalance.delay.ms': '0' } });
    const log = await openKafkaLog({ brokers: kafka.brokers, time: realTime });
    const retention = { kind: 'compact', tombstoneMs: 60_000 } as const;
    await log.ensureTopics([{ name: topic, partitions, retention }]);
    await log.close();
  });

  afterAll(async () => {
    await Promise.all(members.map(({ group }) => group.leave()));
    await kafka.stop();
  });

  function join(): Member {
    const group = createKafkaGroup({
      brokers: kafka.brokers,
      groupId,
      topic,
      time: realTime,
      sessionTimeoutMs: 6_000,
      heartbeatMs: 200,
    });
    const member: Member = { group, owned: new Set(), moved: 0 };
    group.join((owned) => {
      for (const partition of owned) if (!member.owned.has(partition)) member.moved++;
      member.owned = owned;
    });
    members.push(member);
    return member;
  }

  async function settled(): Promise<void> {
    const even = Math.ceil(partitions / members.length);
    await until(
      `${members.length} members share all partitions evenly`,
      () => {
        const all = members.flatMap(({ owned }) => [...owned]);
        const whole = new Set(all).size === partitions && all.length === partitions;
        return Promise.resolve(whole && members.every(({ owned }) => owned.size <= even));
      },
      40_000,
    );
  }

  test('shares the partitions evenly, and moves no more than must be when one joins or leaves', async () => {
    for (let count = 1; count <= 4; count++) {
      const before = members.map(({ owned }) => owned);
      join();
      await settled();
      // Who was there before got nothing new: what moved went to the one that came.
      for (const [at, owned] of before.entries()) {
        const now = members[at]?.owned ?? new Set();
        expect([...now].filter((partition) => !owned.has(partition))).toEqual([]);
      }
    }
    const [first, ...others] = members;
    if (first === undefined) throw new Error('nobody has joined');
    const had = first.owned.size;
    for (const member of others) member.moved = 0;
    await first.group.leave();
    members = others;
    await settled();
    expect(others.reduce((sum, { moved }) => sum + moved, 0)).toBe(had);
  });

  test('outlives the brokers: members keep what they have, and agree again afterwards', async () => {
    await settled();
    const before = members.map(({ owned }) => owned);
    await kafka.kill(0);
    await sleep(2_000);
    expect(members.map(({ owned }) => owned)).toEqual(before);
    await kafka.restart(0);
    await settled();
    join();
    await settled();
  });

  test('a coordinator that says nothing is told of, with why, and that it answers again', async () => {
    const told: string[] = [];
    const health = {
      failed: (error: unknown) => void told.push((error as Error).message),
      worked: () => void told.push('there'),
    };
    const { brokers } = kafka;
    const group = createKafkaGroup({ brokers, groupId: 'told', topic, time: realTime, health });
    group.join(() => undefined);
    try {
      await until('it is in', () => told.at(-1) === 'there', 20_000);
      kafka.pause(0);
      await until('it is told', () => told.at(-1) !== 'there', 20_000);
      expect(told.at(-1)).toMatch(
        /^kafka: cannot stay in group told \(.*heartbeats for \d+ ms\)$/u,
      );
    } finally {
      kafka.resume(0);
    }
    await until('it is in again', () => told.at(-1) === 'there', 40_000);
    await group.leave();
  });

  test('joins by another broker where the first says nothing', async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const brokers = [`127.0.0.1:${port}`, ...kafka.brokers];
    const time = realTime;
    const group = createKafkaGroup({
      brokers,
      groupId: 'round',
      topic,
      time,
      joinTimeoutMs: 2_000,
    });
    let owned = 0;
    group.join((all) => (owned = all.size));
    try {
      await until('it has all', () => owned === partitions, 30_000);
      expect(sockets.size).toBeGreaterThan(0);
    } finally {
      await group.leave();
      silent.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  test('a group of another name has all partitions for itself', async () => {
    const others = members;
    members = [];
    groupId = 'another';
    const alone = join();
    await settled();
    expect(alone.owned.size).toBe(partitions);
    members = [...others, alone];
  });
});
