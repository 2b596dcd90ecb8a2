/**
 * An ingester in a process of its own: the log, the keys, the sources, and the server for
 * operators.
 */
import { join } from 'node:path';
import { openAwaited } from '@watershed/log/awaited.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { Log } from '@watershed/log/port.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import type { Composition, Surroundings } from '@watershed/runtime/program.ts';
import {
  createSealing,
  parseSealingKeys,
  readOrCreateSealingKeys,
  readSealingKeys,
} from '@watershed/runtime/sealing.ts';
import { createIngester } from './app.ts';
import type { Config } from './config.ts';
import { configuredSources } from './sources/configured.ts';
import { allKinds } from './validate.ts';

export async function compose(config: Config, around: Surroundings): Promise<Composition> {
  const { logging, name: writer } = around;
  const sources = await configuredSources({
    configDirs: [config.configDir ?? []].flat(),
    meshConfig: config.meshConfig,
    time: around.time,
  });
  const sealing = createSealing(await sealingKeys(config));
  const log = await openLog(config, around);
  const ingester = createIngester({
    ...around,
    log,
    sources,
    kinds: allKinds,
    settings: {
      cluster: config.clusterId,
      domain: config.domain,
      rootNamespace: 'istio-system',
    },
    partitions: { endpoints: config.shards, history: 1 },
    writer,
    sealing,
    logger: logging.scope('ingester'),
  });
  const logger = logging.scope('default');
  return {
    storage: { name: 'log', stop: () => log.close() },
    parts: [ingester],
    pages: ingester.pages,
    ready: () => logger.info('the ingester is ready'),
  };
}

async function sealingKeys(config: Config): Promise<readonly Uint8Array[]> {
  if (config.sealingKey !== undefined) return parseSealingKeys(config.sealingKey);
  if (config.sealingKeyFile !== undefined) return readSealingKeys(config.sealingKeyFile);
  return readOrCreateSealingKeys(join(config.dataDir, 'sealing.key'));
}

async function openLog(config: Config, around: Surroundings): Promise<Log> {
  const { kafkaBrokers: brokers, dataDir } = config;
  const { time, logging, readiness, onFatal } = around;
  const topics = topicSpecs({ shards: config.shards });
  const logger = logging.scope('log');
  if (brokers.length > 0) {
    // Not loaded by who does not use it.
    const { openKafkaLog } = await import('@watershed/log/kafka.ts');
    const onReadError = (error: unknown): void => {
      logger.warn('a read of the log failed; it is tried again', { error });
    };
    const open = (): Promise<Log> => openKafkaLog({ brokers, time, onReadError });
    const progress = readiness.awaits('the log', logger);
    return await openAwaited({ open, topics, time, progress, onFatal });
  }
  const onBackgroundError = (error: unknown): void => {
    logger.error('the log could not be tidied up; it is tried again', { error });
  };
  const log = await openEmbeddedLog({ dir: join(dataDir, 'log'), time, onBackgroundError });
  await log.ensureTopics(topics);
  return log;
}
