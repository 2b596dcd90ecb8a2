/** The translator's options, as a process of its own; only this file and `main.ts` know of them. */
import {
  checkShared,
  processOptions,
  sharedOptions,
  xdsOptions,
} from '@watershed/runtime/options-common.ts';
import { defineOptions } from '@watershed/runtime/options.ts';
import type { ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';

const table = defineOptions({
  ...processOptions,
  ...sharedOptions,
  cacheEntries: xdsOptions.cacheEntries,
  groupId: {
    type: 'string',
    flag: '--groupId',
    env: ['WATERSHED_TRANSLATOR_GROUP'],
    default: 'watershed-translators',
    pattern: /^\S+$/u,
    form: 'a name without spaces',
    placeholder: 'name',
    doc: 'The consumer group of the shards: its members share the partitions out among themselves. On Kafka its name begins with --kafkaPrefix.',
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

export type Config = ConfigOf<typeof table>;

export const program: Program<typeof table> = {
  name: 'watershed-translator',
  description: 'Translates the configuration on the log into the resources that proxies get.',
  version,
  table,
  check: (config) => checkShared(config, { blobs: true }),
};
