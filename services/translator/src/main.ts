#!/usr/bin/env node
import { hostname } from 'node:os';
import { join } from 'node:path';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import { createKafkaGroup } from '@watershed/log/kafka/group.ts';
import { openKafkaLog } from '@watershed/log/kafka.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { topics } from '@watershed/model/keys.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { MonitoringServer } from '@watershed/runtime/http.ts';
import { Lifecycle } from '@watershed/runtime/lifecycle.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { OptionsError } from '@watershed/runtime/options.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { openTracing, tracingOptions } from '@watershed/runtime/tracing-open.ts';
import { version } from '@watershed/runtime/version.ts';
import { createTranslator } from './app.ts';
import { createPlans } from './assembly/plans.ts';
import { program } from './config.ts';
import type { Config } from './config.ts';

try {
  const parsed = parseOptions(program, { argv: process.argv.slice(2), environment: process.env });
  if (parsed.kind === 'print') process.stdout.write(parsed.text);
  else await run(parsed.config, parsed.warnings);
} catch (error) {
  const problems = error instanceof OptionsError ? error.problems : [describeError(error)];
  process.stderr.write(`${problems.map((one) => `watershed-translator: ${one}`).join('\n')}\n`);
  // What was opened before it failed must not keep the process.
  process.exit(1);
}

async function run(config: Config, warnings: readonly string[]): Promise<void> {
  const time = systemTime;
  const logging = new Logging({
    scopes: ['default', 'translator', 'monitoring'],
    levels: config.logLevels,
    json: config.logAsJson ?? !process.stdout.isTTY,
    clock: time,
    write: (line) => process.stderr.write(line),
  });
  const logger = logging.scope('default');
  for (const warning of warnings) logger.warn(warning);
  const tracing = await openTracing(tracingOptions(config, version, logger));
  const lifecycle = new Lifecycle({ timers: time, logger, drainMs: config.shutdownMs });
  const stopped = lifecycle.runUntilSignal(process, () => process.exit(1));
  const metrics = new Metrics({ process: true });
  const readiness = new Readiness();
  const { kafkaBrokers: brokers, partitions, dataDir, cacheEntries, assertEvery } = config;
  const log = await openKafkaLog({ brokers, time });
  const blobs = await openDiskBlobs({ dir: join(dataDir, 'blobs') });
  await log.ensureTopics(topicSpecs({ shards: partitions }));
  const group = createKafkaGroup({
    brokers,
    groupId: config.groupId,
    topic: topics.endpoints,
    time,
    onError: (error) => logger.warn('the group of translators cannot be reached', { error }),
  });
  const translator = createTranslator({
    log,
    group,
    blobs,
    partitions,
    writer: `${hostname()}-${process.pid}`,
    plans: createPlans,
    time,
    logger: logging.scope('translator'),
    metrics,
    tracing,
    readiness,
    cacheEntries,
    assertion: { every: assertEvery, random: Math.random },
    onFatal: (error) => {
      logger.fatal('it cannot go on', { error });
      process.exitCode = 1;
      process.kill(process.pid, 'SIGTERM');
    },
  });
  const monitoring = new MonitoringServer({
    address: config.monitoringAddr,
    version,
    readiness,
    metrics,
    logger: logging.scope('monitoring'),
    pages: translator.pages,
  });
  const storage = { name: 'storage', stop: () => log.close().then(() => blobs.close()) };
  await lifecycle.start([storage, monitoring, translator]);
  await stopped;
  await tracing.shutdown();
}
