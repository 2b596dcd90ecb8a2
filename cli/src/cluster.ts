#!/usr/bin/env node
/**
 * `npm run cluster`: Watershed as separate services on a Kafka and a Redis of its own, on this
 * machine, until Ctrl-C. `--help` lists what can be chosen.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cacheDirectory } from './components/cache.ts';
import { startCluster, type Cluster } from './components/cluster.ts';

const sample = fileURLToPath(new URL('../../examples/shop', import.meta.url));

const help = `npm run cluster -- [options]

  --config-dir DIR   objects to serve, of several directories too (default: the sample shop)
  --brokers N        Kafka brokers (1)
  --translators N    shards of the translator (2)
  --pushers N        replicas of the pusher (2)
  --partitions N     of the topics endpoints and xds (64)
  --data-dir DIR     where logs and data are kept (default: a new one, removed at the end)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    'config-dir': { type: 'string', multiple: true },
    'data-dir': { type: 'string' },
    brokers: { type: 'string' },
    translators: { type: 'string' },
    pushers: { type: 'string' },
    partitions: { type: 'string' },
  },
});

let cluster: Cluster | undefined;
let stopping: Promise<void> | undefined;

if (values.help === true) say(help);
else {
  process.on('SIGINT', () => void stop().then(() => process.exit(0)));
  process.on('SIGTERM', () => void stop().then(() => process.exit(0)));
  try {
    await run();
  } catch (error) {
    if (stopping === undefined) {
      process.exitCode = 1;
      say(`cluster: ${error instanceof Error ? error.message : String(error)}`);
      await stop();
    }
  }
}

async function run(): Promise<void> {
  const given = values['data-dir'];
  const directory =
    given === undefined ? await mkdtemp(join(tmpdir(), 'watershed-cluster-')) : resolve(given);
  cluster = await startCluster({
    configDir: (values['config-dir'] ?? [sample]).map((dir) => resolve(dir)).join(','),
    directory,
    cache: cacheDirectory(process.env),
    progress: say,
    brokers: count('brokers', 1),
    translators: count('translators', 2),
    pushers: count('pushers', 2),
    partitions: count('partitions', 64),
  });
  const [pusher] = cluster.pushers;
  say(`logs and data  ${directory}`);
  say('');
  say(`A proxy may connect to any pusher${values['config-dir'] === undefined ? ', as' : '.'}`);
  if (values['config-dir'] === undefined) {
    say(
      '  npx xdsctl bootstrap envoy --delta --node router~127.0.0.1~gateway.shop~shop.svc.cluster.local \\',
    );
    say(
      `    --label gateway.networking.k8s.io/gateway-name=shop --xds-address ${pusher?.grpc ?? ''} > envoy.json`,
    );
    say('  $(npx xdsctl fetch envoy) -c envoy.json');
  }
  say('What is connected to one of them:');
  say(`  npx xdsctl proxy-status --monitoringAddr ${pusher?.monitoring ?? ''}`);
  say('Ctrl-C stops all of it.');
  const ended = await Promise.race(cluster.services.map((service) => service.ended));
  if (stopping !== undefined) return;
  throw new Error(`${ended.name} has ended; see ${ended.logFile}`);
}

function count(name: 'brokers' | 'translators' | 'pushers' | 'partitions', other: number): number {
  const text = values[name];
  if (text === undefined) return other;
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 4_096) return number;
  throw new Error(`--${name} ${JSON.stringify(text)}: not a number from 1 to 4096`);
}

function stop(): Promise<void> {
  stopping ??= (async () => {
    if (cluster === undefined) return;
    say('stopping: pushers, translators, ingester, Redis, Kafka');
    await cluster.stop();
    if (values['data-dir'] === undefined) {
      await rm(cluster.directory, { recursive: true, force: true });
    }
  })();
  return stopping;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
