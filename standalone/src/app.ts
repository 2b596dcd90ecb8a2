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
import { LogWatch } from '@watershed/log/watched.ts';
import { createPusher, standInAfterMs } from '@watershed/pusher/app.ts';
import { openSecurity, operatorsOnly } from '@watershed/pusher/security.ts';
import { ofDataDir, openDataDir } from '@watershed/runtime/data-dir.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Composition, Surroundings } from '@watershed/runtime/program.ts';
import { createSealing, readOrCreateSealingKeys } from '@watershed/runtime/sealing.ts';
import { createTranslator } from '@watershed/translator/app.ts';
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { type Config, sampleConfig } from './config.ts';
import { firstProxy } from './first-proxy.ts';
import { welcome } from './welcome.ts';

/** One process reads all partitions; more of them would only be more tables in a file. */
const shards = 8;

export async function compose(config: Config, around: Surroundings): Promise<Composition> {
  const { time, logging, name } = around;
  const { dataDir } = config;
  await openDataDir(dataDir);
  const log = await openLog(config, around);
  const blobs = await ofDataDir(dataDir, () => openDiskBlobs({ dir: join(dataDir, 'blobs') }));
  const keyFile = join(dataDir, 'sealing.key');
  const sealing = createSealing(await ofDataDir(dataDir, () => readOrCreateSealingKeys(keyFile)));
  const common = { ...around, log, writer: name };
  const ingester = createIngester({
    ...common,
    sources: configuredSources({
      configDirs: [...config.configDirs, sampleConfig(config) ?? []].flat(),
      meshConfig: config.meshConfig,
      time,
    }),
    kinds: allKinds,
    settings: {
      cluster: config.clusterId,
      domain: config.domain,
      rootNamespace: 'istio-system',
      ambient: config.ambient,
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
  const security = await openSecurity(config, { time, logger: logging.scope('pusher') });
  const pusher = createPusher({
    ...common,
    blobs,
    partitions: shards,
    sealing,
    options: config,
    transport: config.transport,
    coldDir: join(dataDir, 'pusher'),
    ...(config.kafkaBrokers.length > 0 ? { standInAfterMs } : {}),
    logger: logging.scope('pusher'),
    otherPages: [...ingester.pages, ...translator.pages],
    ...security,
  });
  const logger = logging.scope('default');
  return {
    storage: storage(log, blobs),
    // The ingester does not start without the log; proxies are served what is on disk.
    parts: [pusher, translator, ingester],
    pages: [...ingester.pages, ...translator.pages, ...pusher.pages],
    debugAccess: operatorsOnly(security.identity),
    ready: (monitoring) => {
      const { address: grpc, tlsAddress: secureGrpc } = pusher;
      const secure = secureGrpc === undefined ? {} : { secureGrpc };
      const addresses = { grpc, ...secure, monitoring };
      const proxy = firstProxy(ingester, config.domain);
      // For who started it with port 0: where it listens, in a form that programs read.
      logger.info('Watershed is ready', addresses);
      process.stdout.write(welcome({ config, addresses, proxy, xdsctl: around.xdsctl }));
    },
  };
}

async function openLog(config: Config, around: Surroundings): Promise<Log> {
  const { time, logging, readiness } = around;
  const logger = logging.scope('log');
  if (config.kafkaBrokers.length > 0) {
    // Not loaded by who does not use it.
    const { openSharedLog } = await import('@watershed/log/kafka/open.ts');
    return await openSharedLog({ ...config, partitions: shards }, { ...around, logger });
  }
  const onBackgroundError = (error: unknown): void => {
    logger.error('the log could not be tidied up; it is tried again', { error });
  };
  const dir = join(config.dataDir, 'log');
  const log = await ofDataDir(config.dataDir, () =>
    openEmbeddedLog({ dir, time, onBackgroundError }),
  );
  await log.ensureTopics(topicSpecs({ shards }));
  const health = readiness.dependency('the log', { logger, time });
  return new LogWatch({ time, health }).over(log);
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
