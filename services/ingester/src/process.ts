/**
 * An ingester in a process of its own: the log, the keys, the sources, and the server for
 * operators.
 */
import { join } from 'node:path';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { Log } from '@watershed/log/port.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { MonitoringServer } from '@watershed/runtime/http.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import {
  createSealing,
  parseSealingKeys,
  readOrCreateSealingKeys,
  readSealingKeys,
} from '@watershed/runtime/sealing.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import { version } from '@watershed/runtime/version.ts';
import { createIngester } from './app.ts';
import type { Config } from './config.ts';
import { configuredSources } from './sources/configured.ts';
import { allKinds } from './validate.ts';

export interface Surroundings {
  readonly time: Time;
  readonly logging: Logging;
  readonly tracing: Tracing;
  /** The host's name and pid. */
  readonly name: string;
  readonly onFatal: (error: unknown) => void;
}

export interface IngesterProcess {
  /** In the order in which they are started. */
  readonly parts: readonly Part[];
  readonly readiness: Readiness;
}

/** Scopes of its log. */
export const logScopes = ['default', 'log', 'ingester', 'monitoring'] as const;

export async function createProcess(
  config: Config,
  around: Surroundings,
): Promise<IngesterProcess> {
  const { time, logging, tracing, name, onFatal } = around;
  const sources = await configuredSources({
    configDirs: [config.configDir ?? []].flat(),
    meshConfig: config.meshConfig,
    time,
  });
  const sealing = createSealing(await sealingKeys(config));
  const metrics = new Metrics({ process: true });
  const readiness = new Readiness();
  const log = await openLog(config, around);
  await log.ensureTopics(topicSpecs({ shards: config.shards }));
  const ingester = createIngester({
    log,
    sources,
    kinds: allKinds,
    settings: {
      cluster: config.clusterId,
      domain: config.domain,
      rootNamespace: 'istio-system',
    },
    partitions: { endpoints: config.shards, history: 1 },
    writer: name,
    sealing,
    time,
    logger: logging.scope('ingester'),
    metrics,
    tracing,
    readiness,
    onFatal,
  });
  const monitoring = new MonitoringServer({
    address: config.monitoringAddr,
    version,
    readiness,
    metrics,
    logger: logging.scope('monitoring'),
    pages: ingester.pages,
  });
  const storage: Part = { name: 'log', stop: () => log.close() };
  return { parts: [storage, monitoring, ingester], readiness };
}

async function sealingKeys(config: Config): Promise<readonly Uint8Array[]> {
  if (config.sealingKey !== undefined) return parseSealingKeys(config.sealingKey);
  if (config.sealingKeyFile !== undefined) return readSealingKeys(config.sealingKeyFile);
  return readOrCreateSealingKeys(join(config.dataDir, 'sealing.key'));
}

async function openLog(config: Config, { time, logging }: Surroundings): Promise<Log> {
  const { kafkaBrokers: brokers, dataDir } = config;
  const logger = logging.scope('log');
  if (brokers.length > 0) {
    // Not loaded by who does not use it.
    const { openKafkaLog } = await import('@watershed/log/kafka.ts');
    const onReadError = (error: unknown): void => {
      logger.warn('a read of the log failed; it is tried again', { error });
    };
    return await openKafkaLog({ brokers, time, onReadError });
  }
  const onBackgroundError = (error: unknown): void => {
    logger.error('the log could not be tidied up; it is tried again', { error });
  };
  return await openEmbeddedLog({ dir: join(dataDir, 'log'), time, onBackgroundError });
}
