/**
 * The three services on Kafka and Redis, as processes of their own; the bench writes endpoints in
 * the ingester's place, and a process of simulated proxies ACKs them.
 *
 * node bench/src/scaleout/main.ts [--services 2000] [--endpoints 5] [--streams 2000] [--clients 2]
 * [--shards 1,2,4,8] [--rates 200,1000] [--seconds 20] [--rounds 3]
 *
 * Prints (1) from append to ACK beside a bare record from produce to consume, on the same broker,
 * turn by turn; (2) for each number of shards what all endpoints once cost, what a shard holds, and
 * how long a joining one takes; (3) steady floods of endpoint updates into two pushers. CPU is from
 * /proc. Latencies are of a machine that runs all of it, clients included.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import type { Log } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { testCache, testProgress } from '../../../test/components/cache.ts';
import { MeshFiles } from '../mesh/mesh.ts';
import { Bare } from './bare.ts';
import { Clients } from './clients.ts';
import { quantile, type Report } from './messages.ts';
import { burst, join as joinShard } from './shards.ts';
import { Usage } from './usage.ts';
import { Writer, type Host } from './writer.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '2000' },
    endpoints: { type: 'string', default: '5' },
    streams: { type: 'string', default: '2000' },
    shards: { type: 'string', default: '1,2,4,8' },
    clients: { type: 'string', default: '2' },
    rates: { type: 'string', default: '200,1000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '20' },
  },
});
const partitions = 64;
const namespaces = 10;
const seconds = Number(values.seconds);
/** Of the first part: slow enough that nothing waits for another. */
const pairsPerSecond = 20;
const settleMs = 60_000;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function spread(latencies: readonly number[]): string {
  const of = (share: number): string => quantile(latencies, share).toFixed(1);
  return `p50 ${of(0.5)}, p99 ${of(0.99)} ms (${latencies.length})`;
}

/** Until every stream has what was written last of its assignment. */
async function settled(clients: Clients, hosts: readonly Host[]): Promise<Report> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const report = await clients.send({ kind: 'report' });
    const late = hosts.filter(({ host, stamp }) => {
      return stamp > 0 && (report.reached[nameOf(host)] ?? stamp) < stamp;
    });
    if (late.length === 0) return report;
    if (performance.now() > deadline) throw new Error(`${late.length} assignments are not there`);
    await sleep(250);
  }
}

function nameOf(host: string): string {
  return `outbound|80||${host}`;
}

async function latency(clients: Clients, writer: Writer, bare: Bare): Promise<void> {
  await clients.send({ kind: 'mark' });
  bare.mark();
  for (let at = 0; at < seconds * pairsPerSecond; at++) {
    const host = writer.hosts[at % writer.hosts.length];
    if (host === undefined) throw new Error('no hosts');
    await bare.append();
    await writer.write([host]);
    await sleep(1_000 / pairsPerSecond);
  }
  const { latencies } = await settled(clients, writer.hosts);
  const alone = bare.latencies();
  const times = (share: number): string =>
    (quantile(latencies, share) / quantile(alone, share)).toFixed(2);
  say(`bare, produce to consume: ${spread(alone)}`);
  say(`append to ACK:            ${spread(latencies)}; ${times(0.5)} and ${times(0.99)} of bare`);
}

async function flood(
  clients: Clients,
  writer: Writer,
  usage: Usage,
  wanted: number,
): Promise<void> {
  const perTick = Math.max(1, Math.round(wanted / 50));
  await clients.send({ kind: 'mark' });
  await usage.begin();
  const sinceMs = performance.now();
  let written = 0;
  while (performance.now() - sinceMs < seconds * 1_000) {
    const from = written % writer.hosts.length;
    const some = writer.hosts.slice(from, from + perTick);
    await writer.write(some);
    written += some.length;
    const aheadMs = sinceMs + (written / wanted) * 1_000 - performance.now();
    if (aheadMs > 0) await sleep(aheadMs);
  }
  const rate = written / ((performance.now() - sinceMs) / 1_000);
  const text = await usage.text();
  const endMs = performance.now();
  const { acked, latencies } = await settled(clients, writer.hosts);
  const lateMs = Math.round(performance.now() - endMs);
  say(`${rate.toFixed(0)} updates/s: ${acked} ACKs, ${spread(latencies)}, nothing lost`);
  say(`  all there ${lateMs} ms after the last; ${text}; load ${loadavg()[0]?.toFixed(1)}`);
}

async function run(directory: string): Promise<void> {
  const configDir = join(directory, 'config');
  const { services, endpoints, streams } = values;
  const size = { services: Number(services), endpoints: Number(endpoints), namespaces };
  await new MeshFiles(configDir, size).writeAll([]);
  const cluster = await startCluster({
    ...{ configDir, directory: join(directory, 'cluster'), partitions, translators: 1 },
    ...{ cache: testCache, progress: testProgress, kafka: { fullJit: true } },
  });
  let log: Log | undefined;
  const clients = new Clients(Number(values.clients));
  try {
    await cluster.ingester.stop();
    log = await openKafkaLog({ brokers: cluster.kafka.brokers, time: systemTime });
    const writer = await Writer.open(log, partitions);
    say(`${writer.hosts.length} services, ${streams} streams; load ${loadavg()[0]?.toFixed(1)}`);
    await openStreams(clients, cluster, writer);
    const bare = await Bare.open(log);
    for (let round = 0; round < Number(values.rounds); round++) {
      await latency(clients, writer, bare);
    }
    await bare.close();
    for (const count of values.shards.split(',').map(Number)) {
      while (cluster.translators.length < count) say(await joinShard(cluster, partitions));
      say(await burst(cluster, writer));
      await settled(clients, writer.hosts);
    }
    const usage = new Usage(cluster, { clients: clients.pids, writer: [process.pid] });
    for (const rate of values.rates.split(',').map(Number)) {
      await flood(clients, writer, usage, rate);
    }
    await writer.close();
  } finally {
    clients.stop();
    await log?.close();
    await cluster.stop();
  }
}

async function openStreams(clients: Clients, cluster: Cluster, writer: Writer): Promise<void> {
  const ports = cluster.pushers.map(({ grpc }) => Number(grpc?.split(':').at(-1)));
  const names = writer.hosts.map(({ host }) => nameOf(host));
  await clients.open({ ports, names, streams: Number(values.streams) });
}

const directory = await mkdtemp(join(tmpdir(), 'watershed-scaleout-'));
try {
  await run(directory);
} finally {
  await rm(directory, { recursive: true, force: true });
}
