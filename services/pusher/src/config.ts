/** The pusher's options, as a process of its own; only this file and `main.ts` know of them. */
import {
  checkDebounce,
  dataOptions,
  processOptions,
  xdsOptions,
} from '@watershed/runtime/options-common.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';
import { checkSecurity, securityOptions } from './security-options.ts';

const { cacheEntries: _generated, ...served } = xdsOptions;

const table = defineOptions({
  ...served,
  ...securityOptions,
  ...processOptions,
  ...dataOptions,
  kafkaBrokers: {
    type: 'list',
    flag: '--kafkaBrokers',
    env: ['WATERSHED_KAFKA_BROKERS'],
    placeholder: 'host:port,…',
    doc: 'Brokers of the log that all processes share. Needed: only one process can hold an embedded log.',
  },
  partitions: {
    type: 'int',
    flag: '--partitions',
    env: ['WATERSHED_PARTITIONS'],
    default: 8,
    min: 1,
    max: 1_024,
    unit: 'partitions',
    doc: 'Of the topics endpoints and xds. Every process must be told the same; it cannot be changed later.',
  },
  sealingKeyFile: {
    type: 'string',
    flag: '--sealingKeyFile',
    env: ['WATERSHED_SEALING_KEY_FILE'],
    placeholder: 'file',
    doc: 'Keys that ingesters seal secrets with. Without it no secrets are served.',
  },
  transport: {
    type: 'enum',
    env: ['WATERSHED_XDS_TRANSPORT'],
    values: ['http2', 'grpc-js'],
    default: 'http2',
    doc: 'What speaks gRPC. grpc-js copies every message of every stream; it is there to compare with.',
  },
});

export type Config = ConfigOf<typeof table>;

export const program: Program<typeof table> = {
  name: 'watershed-pusher',
  description: 'Serves xDS to proxies: what translators wrote to the log.',
  version,
  table,
  check: (config) => [...checkDebounce(config), ...checkLog(config), ...checkSecurity(config)],
};

function checkLog({ kafkaBrokers }: Pick<Config, 'kafkaBrokers'>): readonly string[] {
  return kafkaBrokers.length === 0
    ? ['--kafkaBrokers: missing; in one process with the other tiers, run watershed instead']
    : [];
}
