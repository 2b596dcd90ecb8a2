#!/usr/bin/env node
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { openSharedBlobs } from '@watershed/blob/redis.ts';
import { openSharedLog } from '@watershed/log/kafka/open.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { runProgram, type Composition, type Surroundings } from '@watershed/runtime/program.ts';
import { createSealing, readSealingKeys } from '@watershed/runtime/sealing.ts';
import { createPusher, standInAfterMs } from './app.ts';
import { program, type Config } from './config.ts';
import type { PusherOptions } from './pusher-options.ts';
import { openSecurity, operatorsOnly } from './security.ts';

/**
 * Else V8 marks the whole heap whenever 64 MB of buffers have come and gone, however large the heap
 * may grow: in a flood every 9 s, and each time nobody is served for 0.2 s.
 */
setFlagsFromString('--external-memory-accounted-in-global-limit');

await runProgram({
  ...program,
  parse: () => parseOptions(program, { argv: process.argv.slice(2), environment: process.env }),
  logScopes: ['log', 'pusher'],
  compose,
});

async function compose(config: Config, around: Surroundings): Promise<Composition> {
  const { time, logging } = around;
  const { partitions, dataDir } = config;
  const logger = logging.scope('pusher');
  const log = await openSharedLog(config, { ...around, logger: logging.scope('log') });
  const blobs = openSharedBlobs(config, { ...around, logger });
  const security = await openSecurity(config, { time, logger });
  const pusher = createPusher({
    ...around,
    log,
    blobs,
    partitions,
    options: config,
    logger,
    coldDir: join(dataDir, 'pusher'),
    standInAfterMs,
    transport: config.transport,
    ...(await secrets(config)),
    ...security,
  });
  return {
    storage: { name: 'storage', stop: () => log.close().then(() => blobs.close()) },
    parts: [pusher],
    pages: pusher.pages,
    debugAccess: operatorsOnly(security.identity),
  };
}

async function secrets({ sealingKeyFile }: Config): Promise<Pick<PusherOptions, 'sealing'>> {
  if (sealingKeyFile === undefined) return {};
  return { sealing: createSealing(await readSealingKeys(sealingKeyFile)) };
}
