#!/usr/bin/env node
import { openSharedBlobs } from '@watershed/blob/redis.ts';
import { createKafkaGroup } from '@watershed/log/kafka/group.ts';
import { openSharedLog } from '@watershed/log/kafka/open.ts';
import { healthOf, kafkaSecurity } from '@watershed/log/kafka/security.ts';
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
  const { time, logging, random } = around;
  const { kafkaBrokers: brokers, kafkaPrefix: prefix, partitions } = config;
  const { cacheEntries, assertEvery } = config;
  const logger = logging.scope('translator');
  const log = await openSharedLog(config, { ...around, logger: logging.scope('log') });
  const blobs = openSharedBlobs(config, { ...around, logger });
  const group = createKafkaGroup({
    ...(await kafkaSecurity(config)),
    brokers,
    groupId: prefix + config.groupId,
    topic: prefix + topics.endpoints,
    time,
    health: healthOf(
      around.readiness.dependency('the group of translators', { logger, time }),
      config,
    ),
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
