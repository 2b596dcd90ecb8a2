/**
 * The three services on Kafka and Redis, as processes of their own; the bench writes endpoints in
 * the ingester's place, and a process of simulated proxies ACKs them.
 *
 * node bench/src/scaleout/main.ts [--services 2000] [--endpoints 5] [--streams 2000] [--clients 2]
 * [--shards 1,2,4,8] [--rates 200,1000] [--pusherRates 1000,10000] [--seconds 20] [--rounds 3]
 *
 * Prints (1) from append to ACK beside a bare record from produce to consume, and one that a
 * process hands on to a second topic, on the same broker, turn by turn, after 10,000 of each; (2)
 * for each number of shards what all endpoints once cost, what a shard holds, and how long a
 * joining one takes; (3) steady floods of endpoint updates through translators into two pushers;
 * (4) floods into the two pushers alone: the translators have stopped, and the bench appends in
 * their place what they would append. CPU is from /proc. Latencies are of a machine that runs all
 * of it, clients included.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import type { Log } from '@watershed/log/port.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { testCache, testProgress } from '../../../test/components/cache.ts';
import { MeshFiles } from '../mesh/mesh.ts';
import { Bare } from './bare.ts';
import { Clients } from './clients.ts';
import { flood, latency, roundsText, settled, warmUp, type Bench, type Round } from './measure.ts';
import { bareWay, type Target } from './messages.ts';
import { Records } from './records.ts';
import { Relayed } from './relayed.ts';
import { burst, join as joinShard } from './shards.ts';
import { Usage } from './usage.ts';
import { Writer } from './writer.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '2000' },
    endpoints: { type: 'string', default: '5' },
    streams: { type: 'string', default: '2000' },
    shards: { type: 'string', default: '1,2,4,8' },
    clients: { type: 'string', default: '2' },
    rates: { type: 'string', default: '200,1000' },
    pusherRates: { type: 'string', default: '1000,10000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '20' },
  },
});
const partitions = 64;
const namespaces = 10;
const seconds = Number(values.seconds);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function run(directory: string): Promise<void> {
  const configDir = join(directory, 'config');
  const { services, endpoints, streams } = values;
  const size = { services: Number(services), endpoints: Number(endpoints), namespaces };
  await new MeshFiles(configDir, size).writeAll([]);
  const cluster = await startCluster({
    ...{ configDir, directory: join(directory, 'cluster'), partitions, translators: 1 },
    // Simulated proxies do not come back where they are sent.
    args: { pusher: ['--rebalanceStreamsPerSecond=0'] },
    ...{ cache: testCache, progress: testProgress, kafka: { fullJit: true } },
  });
  let log: Log | undefined;
  const clients = new Clients(Number(values.clients));
  try {
    await cluster.ingester.stop();
    log = await openKafkaLog({ brokers: cluster.kafka.brokers, time: systemTime });
    const writer = await Writer.open(log, partitions);
    const bench = { clients, source: writer };
    say(`${writer.targets.length} services, ${streams} streams; load ${loadavg()[0]?.toFixed(1)}`);
    await openStreams(clients, cluster, writer);
    await measureLatency(log, cluster.kafka.brokers, bench);
    for (const count of numbers(values.shards)) {
      while (cluster.translators.length < count) say(await joinShard(cluster, partitions));
      say(await burst(cluster, writer));
      await settled(bench);
    }
    const usage = new Usage(cluster, { clients: clients.pids, writer: [process.pid] });
    for (const rate of numbers(values.rates)) say(await flood(bench, usage, rate, seconds));
    await writer.close();
    await floodPushers(log, cluster, clients, usage);
  } finally {
    clients.stop();
    await log?.close();
    await cluster.stop();
  }
}

/** None with `''`. */
function numbers(list: string): readonly number[] {
  return list.split(',').filter(Boolean).map(Number);
}

async function measureLatency<T extends Target>(
  log: Log,
  brokers: readonly string[],
  bench: Bench<T>,
): Promise<void> {
  const count = Number(values.rounds);
  if (count === 0) return;
  const one = await Bare.open(log, bareWay, partitions);
  const two = await Relayed.open(brokers, partitions);
  const bare = { one, two: two.records };
  await warmUp(bench, bare);
  const rounds: Round[] = [];
  while (rounds.length < count) {
    rounds.push(await latency(bench, bare, seconds));
    say(roundsText(rounds.slice(-1)));
  }
  say(`all: ${roundsText(rounds)}`);
  await two.close();
  await one.close();
}

async function floodPushers(
  log: Log,
  cluster: Cluster,
  clients: Clients,
  usage: Usage,
): Promise<void> {
  const rates = numbers(values.pusherRates);
  if (rates.length === 0) return;
  await Promise.all(cluster.translators.map((shard) => shard.stop()));
  const records = await Records.open(log, partitions);
  const bench = { clients, source: records };
  say(`into the pushers alone: ${records.targets.length} assignments`);
  for (const rate of rates) say(await flood(bench, usage, rate, seconds));
}

async function openStreams(clients: Clients, cluster: Cluster, writer: Writer): Promise<void> {
  const ports = cluster.pushers.map(({ grpc }) => Number(grpc?.split(':').at(-1)));
  const names = writer.targets.map(({ name }) => name);
  await clients.open({ ports, names, streams: Number(values.streams) });
}

const directory = await mkdtemp(join(tmpdir(), 'watershed-scaleout-'));
try {
  await run(directory);
} finally {
  await rm(directory, { recursive: true, force: true });
}
