/**
 * All tiers in one process. They talk through the log and the blob store only, as they would in
 * several:
 *
 *     files ─► ingester ─► log ─► translator ─► log + blobs ─► pusher ─► xDS
 */
import { join } from 'node:path';
import { openDiskBlobs } from '@watershed/blob/disk.ts';
import type { BlobStore } from '@watershed/blob/port.ts';
import { createIngester } from '@watershed/ingester/app.ts';
import { configuredSources } from '@watershed/ingester/sources/configured.ts';
import { allKinds } from '@watershed/ingester/validate.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { Log } from '@watershed/log/port.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { createPusher } from '@watershed/pusher/app.ts';
import { openSecurity } from '@watershed/pusher/security.ts';
import type { Time } from '@watershed/runtime/clock.ts';
import { MonitoringServer } from '@watershed/runtime/http.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { createSealing, readOrCreateSealingKeys } from '@watershed/runtime/sealing.ts';
import type { Tracing } from '@watershed/runtime/tracing.ts';
import { version } from '@watershed/runtime/version.ts';
import { createTranslator } from '@watershed/translator/app.ts';
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { type Config, sampleConfig } from './config.ts';
import type { Addresses } from './welcome.ts';

/** One process reads all partitions; more of them would only be more tables in a file. */
const shards = 8;

export interface Surroundings {
  readonly time: Time;
  readonly logging: Logging;
  readonly tracing: Tracing;
  readonly random: () => number;
  /** The host's name and pid: unique among pushers. */
  readonly name: string;
  readonly onFatal: (error: unknown) => void;
}

export interface App {
  /** In the order in which they are started. */
  readonly parts: readonly Part[];
  readonly readiness: Readiness;
  /** Where it listens; after the start. */
  readonly addresses: () => Addresses;
}

export async function createApp(config: Config, around: Surroundings): Promise<App> {
  const { time, logging, tracing, name, onFatal } = around;
  const metrics = new Metrics({ process: true });
  const readiness = new Readiness();
  const log = await openLog(config, around);
  const blobs = await openDiskBlobs({ dir: join(config.dataDir, 'blobs') });
  await log.ensureTopics(topicSpecs({ shards }));
  const sealing = createSealing(await readOrCreateSealingKeys(join(config.dataDir, 'sealing.key')));
  const common = { log, time, metrics, tracing, readiness, onFatal, writer: name };
  const ingester = createIngester({
    ...common,
    sources: await configuredSources({
      configDirs: [config.configDir ?? sampleConfig(config) ?? []].flat(),
      meshConfig: config.meshConfig,
      time,
    }),
    kinds: allKinds,
    settings: {
      cluster: config.clusterId,
      domain: config.domain,
      rootNamespace: 'istio-system',
    },
    partitions: { endpoints: shards, history: 1 },
    sealing,
    logger: logging.scope('ingester'),
  });
  const translator = createTranslator({
    ...common,
    blobs,
    partitions: shards,
    plans: createPlans,
    cacheEntries: config.cacheEntries,
    assertion: { every: config.assertEvery, random: around.random },
    logger: logging.scope('translator'),
  });
  const pusher = createPusher({
    ...common,
    blobs,
    partitions: shards,
    sealing,
    name,
    options: config,
    coldDir: join(config.dataDir, 'pusher'),
    logger: logging.scope('pusher'),
    ...(await openSecurity(config, { time, logger: logging.scope('pusher') })),
  });
  const monitoring = new MonitoringServer({
    address: config.monitoringAddr,
    version,
    readiness,
    metrics,
    logger: logging.scope('monitoring'),
    pages: [...ingester.pages, ...translator.pages, ...pusher.pages],
  });
  return {
    parts: [storage(log, blobs), monitoring, ingester, translator, pusher],
    readiness,
    addresses: () => ({
      grpc: pusher.address,
      ...(pusher.tlsAddress === undefined ? {} : { secureGrpc: pusher.tlsAddress }),
      monitoring: `${monitoring.address.host}:${monitoring.address.port}`,
    }),
  };
}

async function openLog(config: Config, { time, logging }: Surroundings): Promise<Log> {
  if (config.kafkaBrokers.length > 0) {
    // Not loaded by who does not use it.
    const { openKafkaLog } = await import('@watershed/log/kafka.ts');
    return await openKafkaLog({ brokers: config.kafkaBrokers, time });
  }
  const logger = logging.scope('log');
  const onBackgroundError = (error: unknown): void => {
    logger.error('the log could not be tidied up; it is tried again', { error });
  };
  return await openEmbeddedLog({ dir: join(config.dataDir, 'log'), time, onBackgroundError });
}

/** Opened before all, closed after all. */
function storage(log: Log, blobs: BlobStore): Part {
  return {
    name: 'storage',
    stop: async () => {
      await log.close();
      await blobs.close();
    },
  };
}
