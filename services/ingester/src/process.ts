/**
 * An ingester in a process of its own: the log, the keys, the sources, and the server for
 * operators.
 */
import { join } from 'node:path';
import { openSharedLog } from '@watershed/log/kafka/open.ts';
import { ofDataDir, openDataDir } from '@watershed/runtime/data-dir.ts';
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
  const sources = configuredSources({
    configDirs: config.configDirs,
    meshConfig: config.meshConfig,
    time: around.time,
  });
  const sealing = createSealing(await sealingKeys(config));
  const log = await openSharedLog(config, { ...around, logger: logging.scope('log') });
  const ingester = createIngester({
    ...around,
    log,
    sources,
    kinds: allKinds,
    settings: {
      cluster: config.clusterId,
      domain: config.domain,
      rootNamespace: 'istio-system',
      ambient: config.ambient,
    },
    partitions: { endpoints: config.partitions, history: 1 },
    writer,
    sealing,
    logger: logging.scope('ingester'),
  });
  const logger = logging.scope('default');
  return {
    storage: {
      name: 'log',
      // What one that failed is still appending is void, and its successor waits for its end.
      stop: async () => (ingester.hasFailed ? undefined : await log.close()),
    },
    parts: [ingester],
    pages: ingester.pages,
    ready: () => logger.info('the ingester is ready'),
  };
}

async function sealingKeys(config: Config): Promise<readonly Uint8Array[]> {
  if (config.sealingKey !== undefined) return parseSealingKeys(config.sealingKey);
  if (config.sealingKeyFile !== undefined) return readSealingKeys(config.sealingKeyFile);
  const { dataDir } = config;
  await openDataDir(dataDir);
  return ofDataDir(dataDir, () => readOrCreateSealingKeys(join(dataDir, 'sealing.key')));
}
