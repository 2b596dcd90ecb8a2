/** Only the pushers are left: what proxies keep and are given, and what people are told. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceProcess } from 'xdsctl/components/service.ts';
import { MetricValues } from '../e2e/harness/control-plane.ts';
import { protocols } from '../e2e/harness/proxy.ts';
import { until } from '../e2e/harness/wait.ts';
import { xdsctl } from '../e2e/harness/xdsctl.ts';
import { portOf, type Bed } from './bed.ts';
import type { Fault } from './faults.ts';

/** A pusher says so when it has heard nothing for 15 s. */
const silentMs = 16_000;
const settleMs = 2_000;

export const allAway: Fault = {
  name: 'all brokers, Redis, ingesters and translators away at once',
  strikes: 'brokers',
  lastsMs: 0,
  begin: async (bed) => {
    const { kafka, redis, services } = bed.cluster;
    const writers = services.filter(({ tier }) => tier !== 'pusher');
    const nodes = Array.from({ length: bed.brokers }, (_, at) => at);
    await Promise.all([
      ...writers.map((service) => bed.down(service)),
      ...nodes.map((node) => kafka.kill(node)),
      redis.kill(),
    ]);
    return async () => {
      await Promise.all([...nodes.map((node) => kafka.restart(node)), redis.start()]);
      for (const service of writers) bed.up(service);
    };
  },
  during: async (bed) => {
    await sleep(settleMs);
    const before = bed.heldByAll();
    await sleep(silentMs);
    const problems: string[] = [];
    if (bed.heldByAll() !== before) problems.push('connected clients did not keep what they had');
    for (const pusher of bed.cluster.pushers) {
      problems.push(...(await sayHowOld(pusher)), ...(await givesAll(bed, pusher)));
    }
    const [pusher] = bed.cluster.pushers;
    if (pusher === undefined) return ['there is no pusher'];
    await pusher.kill();
    await until('the pusher answers again', () => said(pusher, '/ready'), 60_000);
    problems.push(...(await givesAll(bed, pusher)));
    const ready = await said(pusher, '/ready');
    if (!ready.includes('waiting for the log')) problems.push(`a new pusher says: ${ready}`);
    const takesNew = await until('it is ready', () => pusher.isReady()).catch(() => false);
    if (!takesNew) problems.push(`a new pusher gets no proxies: ${await said(pusher, '/ready')}`);
    problems.push(...(await sayHowOld(pusher)));
    return problems;
  },
};

async function said(pusher: ServiceProcess, path: string): Promise<string> {
  return await (await fetch(`http://${pusher.monitoring}${path}`)).text();
}

async function sayHowOld(pusher: ServiceProcess): Promise<readonly string[]> {
  const problems: string[] = [];
  const words = /the log is away for \d+ s/u;
  const ready = await said(pusher, '/ready');
  if (!words.test(ready)) problems.push(`/ready of ${pusher.name} says: ${ready.trim()}`);
  const status = await xdsctl('proxy-status', '--monitoringAddr', pusher.monitoring);
  if (!words.test(status)) problems.push(`proxy-status of ${pusher.name} does not say how old`);
  const metrics = new MetricValues(await said(pusher, '/metrics'));
  const heardAt = metrics.sum('watershed_log_heard_timestamp_seconds');
  const ageMs = Date.now() - heardAt * 1_000;
  if (heardAt === 0 || ageMs < silentMs - 1_000) problems.push(`the metric says ${ageMs} ms`);
  return problems;
}

/** To a client that was never connected, over both protocols. */
async function givesAll(bed: Bed, pusher: ServiceProcess): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const protocol of protocols) {
    const fresh = bed.client('new', protocol, 0, () => [portOf(pusher)]);
    const isFull = (): boolean => {
      const held = fresh.held();
      return held.size > bed.fewest && [...held.values()].every(({ length }) => length > 0);
    };
    const given = await until('a new client has all', isFull).catch(() => false);
    if (!given) {
      const { size } = fresh.held();
      problems.push(`${pusher.name} gave a new client ${size} services (${protocol})`);
    }
    fresh.stop();
  }
  return problems;
}
