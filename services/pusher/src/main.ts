#!/usr/bin/env node
import { join } from 'node:path';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import { openAwaited } from '@watershed/log/awaited.ts';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { runProgram, type Composition, type Surroundings } from '@watershed/runtime/program.ts';
import { createSealing, readSealingKeys } from '@watershed/runtime/sealing.ts';
import { createPusher, type PusherOptions } from './app.ts';
import { program, type Config } from './config.ts';
import { openSecurity } from './security.ts';

await runProgram({
  ...program,
  parse: () => parseOptions(program, { argv: process.argv.slice(2), environment: process.env }),
  logScopes: ['log', 'pusher'],
  compose,
});

async function compose(config: Config, around: Surroundings): Promise<Composition> {
  const { time, logging, readiness, onFatal } = around;
  const { kafkaBrokers: brokers, partitions, dataDir } = config;
  const log = await openAwaited({
    open: () => openKafkaLog({ brokers, time }),
    topics: topicSpecs({ shards: partitions }),
    time,
    progress: readiness.awaits('the log', logging.scope('log')),
    onFatal,
  });
  const blobs = await openDiskBlobs({ dir: join(dataDir, 'blobs') });
  const pusher = createPusher({
    ...around,
    log,
    blobs,
    partitions,
    options: config,
    logger: logging.scope('pusher'),
    coldDir: join(dataDir, 'pusher'),
    transport: config.transport,
    ...(await secrets(config)),
    ...(await openSecurity(config, { time, logger: logging.scope('pusher') })),
  });
  return {
    storage: { name: 'storage', stop: () => log.close().then(() => blobs.close()) },
    parts: [pusher],
    pages: pusher.pages,
  };
}

async function secrets({ sealingKeyFile }: Config): Promise<Pick<PusherOptions, 'sealing'>> {
  if (sealingKeyFile === undefined) return {};
  return { sealing: createSealing(await readSealingKeys(sealingKeyFile)) };
}
