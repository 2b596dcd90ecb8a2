/** The pusher's options, as a process of its own; only this file and `main.ts` know of them. */
import {
  checkXds,
  checkShared,
  dataOptions,
  processOptions,
  sharedOptions,
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
  ...sharedOptions,
  ...dataOptions,
  sealingKeyFile: {
    type: 'string',
    flag: '--sealingKeyFile',
    env: ['WATERSHED_SEALING_KEY_FILE'],
    placeholder: 'file',
    doc: 'Keys that ingesters seal secrets with. Without it no secrets are served.',
  },
  advertisedAddr: {
    type: 'address',
    flag: '--advertisedAddr',
    env: ['WATERSHED_ADVERTISED_ADDR'],
    doc: 'Where proxies reach this pusher and no other: its place on the ring, which pushers tell each other by the log. Default: --secureGRPCAddr where --grpcAddr is loopback, else --grpcAddr; by the name of the machine if that is everywhere.',
  },
  rebalanceStreamsPerSecond: {
    type: 'number',
    flag: '--rebalanceStreamsPerSecond',
    env: ['WATERSHED_REBALANCE_STREAMS_PER_SECOND'],
    default: 5,
    min: 0,
    max: 1_000,
    doc: 'How many streams a second a pusher with more than its share ends, of proxies for which another one has room, where one is off the mean of all by a quarter. They connect again and are sent nothing that they have. 0: none.',
  },
  rebalanceDelayMs: {
    type: 'duration',
    flag: '--rebalanceDelay',
    env: ['WATERSHED_REBALANCE_DELAY'],
    default: '30s',
    max: '1h',
    doc: 'How long pushers must have been the same, none come and none gone, and one off the mean, before a stream is ended for that.',
  },
});

export type Config = ConfigOf<typeof table>;

export const program: Program<typeof table> = {
  name: 'watershed-pusher',
  description: 'Serves xDS to proxies: what translators wrote to the log.',
  version,
  table,
  check: (config) => [
    ...checkXds(config),
    ...checkShared(config, { blobs: true }),
    ...checkSecurity(config),
  ],
};
