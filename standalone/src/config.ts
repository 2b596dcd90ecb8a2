/** The one-process Watershed's options; only this file reads the environment. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  checkXds,
  dataOptions,
  processOptions,
  sourceOptions,
  xdsOptions,
} from '@watershed/runtime/options-common.ts';
import { checkKafka, kafkaOptions } from '@watershed/runtime/options-log.ts';
import { type ConfigOf, defineOptions } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { checkSecurity, securityOptions } from '@watershed/pusher/security-options.ts';
import { version } from '@watershed/runtime/version.ts';

const table = defineOptions({
  ...xdsOptions,
  ...securityOptions,
  ...processOptions,
  ...sourceOptions,
  ...dataOptions,
  ...kafkaOptions,
  kafkaBrokers: {
    type: 'list',
    flag: '--kafkaBrokers',
    env: ['WATERSHED_KAFKA_BROKERS'],
    placeholder: 'host:port,…',
    doc: 'Kafka as the log, in place of the embedded one.',
  },
  assertEvery: {
    type: 'int',
    env: ['WATERSHED_ASSERT_EVERY'],
    default: 1_000,
    min: 1,
    max: 1_000_000_000,
    unit: 'cache hits',
    doc: 'One in so many cache hits is generated again and compared (UNSAFE_PILOT_ENABLE_RUNTIME_ASSERTIONS of istiod, sampled).',
  },
});

export const program: Program<typeof table> = {
  name: 'watershed',
  description: 'Watershed in one process: files in, xDS out.',
  version,
  table,
  check: (config) => [...checkXds(config), ...checkSecurity(config), ...checkKafka(config)],
};

export type Config = ConfigOf<typeof table>;

const sample = fileURLToPath(new URL('../../examples/shop', import.meta.url));

/** What is read when no source was named: the sample shop, in a checkout. */
export function sampleConfig({ configDirs, meshConfig }: Config): string | undefined {
  if (configDirs.length > 0 || meshConfig !== undefined) return undefined;
  return existsSync(sample) ? sample : undefined;
}
