/** What is done to the set, and how it is undone. */
import { cp, rm } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from 'xdsctl/components/child.ts';
import type { ServiceProcess, Tier } from 'xdsctl/components/service.ts';
import { until } from '../e2e/harness/wait.ts';
import type { Bed } from './bed.ts';

export interface Fault {
  /** In a line for people, and for the table. */
  readonly name: string;
  /** Two faults at once strike different parts. */
  readonly strikes: Tier | 'brokers' | 'Redis';
  /** How long it lasts, ms. Longer than a session of the group where that matters (6 s). */
  readonly lastsMs: number;
  /** Resolves when it has happened; what it returns ends it. */
  readonly begin: (bed: Bed) => Promise<() => Promise<void>>;
  /** What is looked at before it ends; returns what is wrong. */
  readonly during?: (bed: Bed) => Promise<readonly string[]>;
}

/** Long enough for a group's session, a broker's and a pusher's wait for a watermark to end. */
const longMs = 14_000;
const shortMs = 5_000;
const readyMs = 60_000;
const looks = 3;

function a(tier: Tier): string {
  return tier === 'ingester' ? 'an ingester' : `a ${tier}`;
}

function one(bed: Bed, tier: Tier): ServiceProcess {
  return bed.random.pick(bed.cluster.services.filter((service) => service.tier === tier));
}

/**
 * That a fault which cuts the way to clients does so: else surviving it would say nothing. A wait
 * that began before may end late, so there are a few looks; changes that pass would spoil each.
 */
async function noNews(bed: Bed): Promise<readonly string[]> {
  for (let look = 0; look < looks; look++) {
    const before = bed.heldByAll();
    await sleep(2_000);
    if (bed.heldByAll() === before) return [];
  }
  return ['clients had news all the same: there was no fault'];
}

async function readyAgain(service: ServiceProcess): Promise<void> {
  await until(`${service.name} is ready again`, () => service.isReady(), readyMs);
}

/** It is started again at once by whoever supervises it. */
function killed(tier: Tier): Fault {
  return {
    name: `SIGKILL of ${a(tier)}`,
    strikes: tier,
    lastsMs: shortMs,
    begin: async (bed) => {
      const service = one(bed, tier);
      await service.kill();
      return () => readyAgain(service);
    },
  };
}

function stopped(tier: Tier): Fault {
  return {
    name: `SIGSTOP of ${a(tier)}, then SIGCONT`,
    strikes: tier,
    lastsMs: longMs,
    begin: async (bed) => {
      const service = one(bed, tier);
      service.pause();
      return async () => {
        service.resume();
        await readyAgain(service);
      };
    },
  };
}

function parted(tier: Tier): Fault {
  return {
    name: `all ${tier}s parted from the log`,
    strikes: tier,
    lastsMs: longMs,
    during: noNews,
    begin: async (bed) => {
      for (const link of bed.links(tier)) link.cut();
      return async () => {
        for (const link of bed.links(tier)) link.mend();
      };
    },
  };
}

function nodes(bed: Bed, count: 'one' | 'all'): readonly number[] {
  if (count === 'one') return [bed.random.below(bed.brokers)];
  return Array.from({ length: bed.brokers }, (_, at) => at);
}

function brokersKilled(count: 'one' | 'all'): Fault {
  return {
    name: `SIGKILL of ${count === 'one' ? 'one broker of three' : 'all brokers'}`,
    strikes: 'brokers',
    lastsMs: longMs,
    ...(count === 'all' ? { during: noNews } : {}),
    begin: async (bed) => {
      const { kafka } = bed.cluster;
      const chosen = nodes(bed, count);
      await Promise.all(chosen.map((node) => kafka.kill(node)));
      return async () => {
        await Promise.all(chosen.map((node) => kafka.restart(node)));
      };
    },
  };
}

function brokersStopped(count: 'one' | 'all'): Fault {
  return {
    name: `SIGSTOP of ${count === 'one' ? 'one broker of three' : 'all brokers'}, then SIGCONT`,
    strikes: 'brokers',
    lastsMs: longMs,
    ...(count === 'all' ? { during: noNews } : {}),
    begin: async (bed) => {
      const chosen = nodes(bed, count);
      for (const node of chosen) bed.cluster.kafka.pause(node);
      return async () => {
        for (const node of chosen) bed.cluster.kafka.resume(node);
      };
    },
  };
}

/**
 * Killed, and started on what it had a while ago. With all of them that is a log that has lost its
 * tail; with one, a replica that must not be believed.
 */
function restored(count: 'one' | 'all'): Fault {
  return {
    name: `${count === 'one' ? 'one broker of three' : 'all brokers'} restored from an old copy`,
    strikes: 'brokers',
    lastsMs: shortMs,
    begin: async (bed) => {
      const { kafka } = bed.cluster;
      const chosen = nodes(bed, count);
      const copyOf = (node: number): string => `${kafka.dataDirectory(node)}.copy`;
      await Promise.all(chosen.map((node) => kafka.shutDown(node)));
      for (const node of chosen) {
        await cp(kafka.dataDirectory(node), copyOf(node), { recursive: true });
      }
      await Promise.all(chosen.map((node) => kafka.restart(node)));
      return async () => {
        await Promise.all(chosen.map((node) => kafka.kill(node)));
        for (const node of chosen) {
          await rm(kafka.dataDirectory(node), { recursive: true });
          await cp(copyOf(node), kafka.dataDirectory(node), { recursive: true });
          await rm(copyOf(node), { recursive: true });
        }
        await Promise.all(chosen.map((node) => kafka.restart(node)));
      };
    },
  };
}

/** No file can grow any more: what a full disk does to who writes, by a limit of the process. */
async function limitFiles(pid: number, bytes: number | 'unlimited'): Promise<void> {
  const args = ['--pid', String(pid), `--fsize=${bytes}:unlimited`];
  const { status, stderr } = await run('prlimit', args, { timeoutMs: 5_000 });
  if (status !== 0) throw new Error(`prlimit (util-linux) is needed: ${stderr}`);
}

function full(tier: Tier): Fault {
  return {
    name: `a full disk at ${a(tier)}`,
    strikes: tier,
    lastsMs: longMs,
    begin: async (bed) => {
      const service = one(bed, tier);
      const { pid } = service;
      await limitFiles(pid, 0);
      return async () => {
        if (service.running && service.pid === pid) await limitFiles(pid, 'unlimited');
        await readyAgain(service);
      };
    },
  };
}

/** A broker ends when it cannot write. */
const brokerFull: Fault = {
  name: 'a full disk at one broker of three',
  strikes: 'brokers',
  lastsMs: longMs,
  begin: async (bed) => {
    const { kafka } = bed.cluster;
    const node = bed.random.below(bed.brokers);
    await limitFiles(kafka.pid(node), 0);
    return async () => {
      await kafka.kill(node);
      await kafka.restart(node);
    };
  },
};

const redisKilled: Fault = {
  name: 'SIGKILL of Redis; it comes back empty',
  strikes: 'Redis',
  lastsMs: shortMs,
  begin: async ({ cluster: { redis } }) => {
    await redis.kill();
    return () => redis.start();
  },
};

const redisStopped: Fault = {
  name: 'SIGSTOP of Redis, then SIGCONT',
  strikes: 'Redis',
  lastsMs: longMs,
  begin: async ({ cluster: { redis } }) => {
    process.kill(redis.pid, 'SIGSTOP');
    return async () => void process.kill(redis.pid, 'SIGCONT');
  },
};

const redisFull: Fault = {
  name: 'Redis is full and refuses writes',
  strikes: 'Redis',
  lastsMs: longMs,
  begin: async ({ cluster: { redis } }) => {
    await command(redis.url, 'CONFIG SET maxmemory 1');
    return () => command(redis.url, 'CONFIG SET maxmemory 0');
  },
};

async function command(url: string, text: string): Promise<void> {
  const socket = createConnection({ host: '127.0.0.1', port: Number(new URL(url).port) });
  socket.setTimeout(5_000, () => socket.destroy(new Error('Redis does not answer')));
  socket.write(`${text}\r\n`);
  for await (const chunk of socket) {
    const said = String(chunk);
    socket.destroy();
    if (!said.startsWith('+OK')) throw new Error(`Redis said ${said}`);
    return;
  }
  throw new Error('Redis closed the connection');
}

const rebalanced: Fault = {
  name: 'a translator is added and removed amid pushes',
  strikes: 'translator',
  lastsMs: shortMs,
  begin: async (bed) => {
    const added = await bed.add('translator');
    await readyAgain(added);
    return () => bed.cluster.remove(added);
  },
};

const pushersChanged: Fault = {
  name: 'a pusher is added and removed amid pushes',
  strikes: 'pusher',
  lastsMs: shortMs,
  begin: async (bed) => {
    const added = await bed.add('pusher');
    await readyAgain(added);
    return () => bed.cluster.remove(added);
  },
};

/** A few that belong to every test run: the tiers once each, a zombie, Redis, a rebalance. */
export const someFaults: readonly Fault[] = [
  killed('ingester'),
  killed('translator'),
  killed('pusher'),
  stopped('translator'),
  redisKilled,
  rebalanced,
];

export const allFaults: readonly Fault[] = [
  ...someFaults,
  stopped('ingester'),
  stopped('pusher'),
  brokersKilled('one'),
  brokersStopped('one'),
  brokersKilled('all'),
  brokersStopped('all'),
  redisStopped,
  redisFull,
  parted('ingester'),
  parted('translator'),
  parted('pusher'),
  full('ingester'),
  full('pusher'),
  brokerFull,
  pushersChanged,
  restored('one'),
  restored('all'),
];
