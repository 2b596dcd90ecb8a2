/** A Kafka that takes connections and says nothing: what people are told by each of the tiers. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import type { ServiceProcess } from 'xdsctl/components/service.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCache, testProgress } from '../components/cache.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { MetricValues } from './harness/control-plane.ts';
import { service } from './harness/objects.ts';
import { until } from './harness/wait.ts';

const endless = ['--shutdownDuration', '1h'];
let config: ConfigDir;
let directory: string;
let cluster: Cluster;

beforeAll(async () => {
  config = await ConfigDir.create();
  const workloads = [{ port: 80 }];
  await config.write('a', ...service({ name: 'a', namespace: 'shop', port: 80, workloads }));
  directory = await mkdtemp(join(tmpdir(), 'watershed-silent-'));
  cluster = await startCluster({
    configDir: config.path,
    directory: join(directory, 'cluster'),
    cache: testCache,
    progress: testProgress,
    ...{ translators: 1, pushers: 1, partitions: 8 },
    // Who waits for the deadline does not end.
    args: { translator: endless, pusher: endless },
  });
});

afterAll(async () => {
  cluster?.kafka.resume(0);
  await cluster?.stop();
  await config?.delete();
  await rm(directory, { recursive: true, force: true });
});

async function page({ monitoring }: ServiceProcess, path: string): Promise<string> {
  const response = await fetch(`http://${monitoring}${path}`);
  return `${response.status} ${await response.text()}`;
}

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly error?: unknown;
}

async function linesOf({ logFile }: ServiceProcess): Promise<readonly Line[]> {
  const text = await readFile(logFile, 'utf8');
  return text.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line) as Line)));
}

/** What it has said of trouble, and of its end. */
async function told(service: ServiceProcess): Promise<readonly string[]> {
  const lines = await linesOf(service);
  return lines.flatMap(({ level, msg }) =>
    level === 'warn' || msg.endsWith(' is there') ? msg : [],
  );
}

test('at a first start, topics that not all brokers know yet are no errors', async () => {
  for (const each of cluster.services) {
    expect((await linesOf(each)).filter(({ error }) => error !== undefined)).toEqual([]);
  }
});

test('each tier is ready and says since when and why, in two lines of its log', async () => {
  const before = new Map<ServiceProcess, number>();
  for (const each of cluster.services) {
    expect(await page(each, '/ready')).toBe('200 ready\n');
    before.set(each, (await told(each)).length);
  }
  cluster.kafka.pause(0);
  const words = /^200 ready; the log is away for \d+ s \(no answer to: /u;
  for (const each of cluster.services) {
    const isTold = async (): Promise<boolean> => words.test(await page(each, '/ready'));
    await until(`${each.name} says so`, isTold);
  }
  for (const each of cluster.services) {
    const awayS = async (): Promise<number> => {
      const metrics = new MetricValues(await page(each, '/metrics'));
      return metrics.sum('watershed_dependency_away_seconds', { name: 'the log' });
    };
    await until(`${each.name} counts`, async () => (await awayS()) > 10);
  }
  cluster.kafka.resume(0);
  for (const each of cluster.services) {
    const isWell = async (): Promise<boolean> => (await page(each, '/ready')) === '200 ready\n';
    await until(`${each.name} is well`, isWell, 60_000);
  }
  for (const each of cluster.services) {
    const since = (await told(each)).slice(before.get(each));
    const group = each.tier === 'translator' ? 'the group of translators' : '';
    expect(since.filter((line) => group === '' || !line.startsWith(group))).toEqual([
      'the log is away; it is tried again',
      'the log is there',
    ]);
  }
});

test('each tier ends in time, whatever it has to say to the log', async () => {
  cluster.kafka.pause(0);
  await config.write('b', ...service({ name: 'b', namespace: 'shop', port: 80, workloads: [] }));
  await sleep(1_000);
  const before = await Promise.all(cluster.services.map(linesOf));
  await Promise.all(cluster.services.map((each) => each.stop()));
  for (const [at, each] of cluster.services.entries()) {
    // What an ingester has to say is waited for until its deadline, which is 10 s.
    expect(await each.ended).toEqual({ status: 0, signal: null });
    const since = (await linesOf(each)).slice(before[at]?.length);
    expect(since.filter(({ level }) => level === 'error')).toEqual([]);
  }
});
