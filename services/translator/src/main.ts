#!/usr/bin/env node
import { join } from 'node:path';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import { openAwaited } from '@watershed/log/awaited.ts';
import { createKafkaGroup } from '@watershed/log/kafka/group.ts';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { topics } from '@watershed/model/keys.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { runProgram, type Composition, type Surroundings } from '@watershed/runtime/program.ts';
import { createTranslator } from './app.ts';
import { createPlans } from './assembly/plans.ts';
import { program, type Config } from './config.ts';

await runProgram({
  ...program,
  parse: () => parseOptions(program, { argv: process.argv.slice(2), environment: process.env }),
  logScopes: ['log', 'translator'],
  compose,
});

async function compose(config: Config, around: Surroundings): Promise<Composition> {
  const { time, logging, readiness, random, onFatal } = around;
  const { kafkaBrokers: brokers, partitions, dataDir, cacheEntries, assertEvery } = config;
  const log = await openAwaited({
    open: () => openKafkaLog({ brokers, time }),
    topics: topicSpecs({ shards: partitions }),
    time,
    progress: readiness.awaits('the log', logging.scope('log')),
    onFatal,
  });
  const blobs = await openDiskBlobs({ dir: join(dataDir, 'blobs') });
  const logger = logging.scope('translator');
  const group = createKafkaGroup({
    brokers,
    groupId: config.groupId,
    topic: topics.endpoints,
    time,
    onError: (error) => logger.warn('the group of translators cannot be reached', { error }),
  });
  const translator = createTranslator({
    ...around,
    log,
    group,
    blobs,
    partitions,
    writer: around.name,
    plans: createPlans,
    logger,
    cacheEntries,
    assertion: { every: assertEvery, random },
  });
  return {
    storage: { name: 'storage', stop: () => log.close().then(() => blobs.close()) },
    parts: [translator],
    pages: translator.pages,
  };
}
