/** What translator shards cost, hold, and take to join. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from 'xdsctl/components/cluster.ts';
import type { ServiceProcess } from 'xdsctl/components/service.ts';
import { cpuSecondsOf, residentMbOf } from '../proc.ts';
import type { Writer } from './writer.ts';

const batch = 1_000;
const limitMs = 120_000;

/** One shard more: how long until it is ready, and until the partitions are shared out again. */
export async function join(cluster: Cluster, partitions: number): Promise<string> {
  const startedAt = performance.now();
  const shard = await cluster.add('translator');
  await shard.whenReady();
  const readyMs = performance.now() - startedAt;
  let owned: readonly number[] = [];
  await until('all partitions have an owner, and the new shard some', async () => {
    owned = await ownedBy(cluster);
    return sum(owned) === partitions && owned.every((count) => count > 0);
  });
  const sharedMs = performance.now() - startedAt;
  const cpu = cpuSecondsOf(shard.pid).toFixed(2);
  return (
    `shard ${cluster.translators.length} joins: ready after ${(readyMs / 1_000).toFixed(1)} s, ` +
    `has a share after ${(sharedMs / 1_000).toFixed(1)} s, ${cpu} CPU s; ` +
    `partitions ${owned.join(', ')}`
  );
}

/** All endpoints change once: nothing is coalesced, each is one event that is one record. */
export async function burst(cluster: Cluster, writer: Writer): Promise<string> {
  const shards = cluster.translators;
  const before = sum(await Promise.all(shards.map(appendedBy)));
  const cpuBefore = shards.map(({ pid }) => cpuSecondsOf(pid));
  const startedAt = performance.now();
  for (let at = 0; at < writer.targets.length; at += batch) {
    await writer.write(writer.targets.slice(at, at + batch));
  }
  await until('all are translated', async () => {
    return sum(await Promise.all(shards.map(appendedBy))) - before >= writer.targets.length;
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpu = shards.map(({ pid }, at) => cpuSecondsOf(pid) - (cpuBefore[at] ?? 0));
  const newest = residentMbOf(shards.at(-1)?.pid ?? -1);
  const owned = await ownedBy(cluster);
  return [
    `${shards.length} shards: ${Math.round(writer.targets.length / seconds)} events/s`,
    `${Math.round((sum(cpu) * 1e6) / writer.targets.length)} CPU us per event`,
    `the busiest shard ${Math.round(writer.targets.length / Math.max(...cpu))} events per CPU s`,
    // One that had more partitions before keeps the heap that it had for them.
    `RSS of the newest, with ${owned.at(-1)} partitions, ${newest.toFixed(0)} MB`,
  ].join(', ');
}

function ownedBy({ translators }: Cluster): Promise<readonly number[]> {
  return Promise.all(translators.map((shard) => metric(shard, 'watershed_partitions_owned')));
}

function appendedBy(shard: ServiceProcess): Promise<number> {
  return metric(shard, 'watershed_log_appended_records_total');
}

async function metric({ monitoring }: ServiceProcess, name: string): Promise<number> {
  const text = await (await fetch(`http://${monitoring}/metrics`)).text();
  return sum(
    text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .map((line) => Number(line.slice(line.lastIndexOf(' ') + 1))),
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(100);
  }
}
