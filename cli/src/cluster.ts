#!/usr/bin/env node
/**
 * `npm run cluster`: Watershed as separate services on a Kafka and a Redis of its own, on this
 * machine, until Ctrl-C. `--help` lists what can be chosen.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemTime } from '@watershed/runtime/clock.ts';
import { complain, runCommand } from '@watershed/runtime/command.ts';
import { ofDataDir, openDataDir } from '@watershed/runtime/data-dir.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { lockDirectory } from './cluster/lock.ts';
import { program, type ClusterConfig } from './cluster/options.ts';
import { supervise } from './cluster/supervisor.ts';
import { cacheDirectory } from './components/cache.ts';
import { startCluster, type Cluster } from './components/cluster.ts';
import { leaveNothing, scratchDirectory } from './components/janitor.ts';

const sample = fileURLToPath(new URL('../../examples/shop', import.meta.url));

let cluster: Cluster | undefined;
let lock: Disposable | undefined;
const stopping = new AbortController();
let stopped: Promise<void> | undefined;

const input = { argv: process.argv.slice(2), environment: process.env };
await runCommand(program, input, async (config) => {
  const { dataDir } = config;
  if (dataDir !== undefined) await open(resolve(dataDir));
  process.on('SIGINT', () => void stop().then(() => process.exit(0)));
  process.on('SIGTERM', () => void stop().then(() => process.exit(0)));
  try {
    await run(config);
  } catch (error) {
    // After Ctrl-C, whatever was under way fails.
    if (!stopping.signal.aborted) {
      complain(program.name, [describeError(error)]);
      await stop();
      return 1;
    }
  }
  await stop();
  return 0;
});

/** For this process alone, to its end. */
async function open(directory: string): Promise<void> {
  await openDataDir(directory);
  lock = await ofDataDir(directory, () => Promise.resolve(lockDirectory(directory)));
}

/** Until it is stopped. */
async function run(config: ClusterConfig): Promise<void> {
  const { configDirs, dataDir, brokers, translators, pushers, partitions } = config;
  const dirs = configDirs.length === 0 ? [sample] : configDirs;
  const directory =
    dataDir === undefined ? await scratchDirectory('watershed-cluster-') : resolve(dataDir);
  cluster = await startCluster({
    configDir: dirs.map((dir) => resolve(dir)).join(','),
    directory,
    cache: cacheDirectory(process.env),
    progress: say,
    ...{ brokers, translators, pushers, partitions },
  });
  say(`logs and data  ${directory}`);
  say('');
  welcome(cluster, configDirs.length === 0);
  const { signal } = stopping;
  const supervision = { delayMs: config.restartDelayMs, time: systemTime, say, signal };
  await Promise.all(cluster.processes.map((one) => supervise(one, supervision)));
}

function welcome({ pushers }: Cluster, isSample: boolean): void {
  const [pusher] = pushers;
  say(`A proxy may connect to any pusher${isSample ? ', as' : '.'}`);
  if (isSample) {
    say(
      '  npx xdsctl bootstrap envoy --delta --node router~127.0.0.1~gateway.shop~shop.svc.cluster.local \\',
    );
    say(
      `    --label gateway.networking.k8s.io/gateway-name=shop --xds-address ${pusher?.grpc ?? ''} > envoy.json`,
    );
    say('  $(npx xdsctl fetch envoy) -c envoy.json');
  }
  say('What is connected:');
  const each = pushers.map(({ monitoring }) => monitoring).join(',');
  say(`  npx xdsctl proxy-status --monitoringAddr ${each}`);
  say('What ends (kill -9 PID) is started again; Ctrl-C stops all of it.');
}

function stop(): Promise<void> {
  stopping.abort();
  stopped ??= (async () => {
    if (cluster !== undefined) {
      say('stopping: pushers, translators, ingester, Redis, Kafka');
      await cluster.stop();
    }
    // Before all of it has started there is nobody who could mind.
    await leaveNothing();
    lock?.[Symbol.dispose]();
  })();
  return stopped;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
