/** The options of an ingester in a process of its own; only this file reads the environment. */
import {
  checkShared,
  dataOptions,
  processOptions,
  sharedOptions,
  sourceOptions,
} from '@watershed/runtime/options-common.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';

const { redisUrl: _blobs, redisPassword: _password, ...logOptions } = sharedOptions;

const table = defineOptions({
  ...sourceOptions,
  ...processOptions,
  ...logOptions,
  dataDir: dataOptions.dataDir,
  sealingKeyFile: {
    type: 'string',
    flag: '--sealingKeyFile',
    env: ['WATERSHED_SEALING_KEY_FILE'],
    placeholder: 'file',
    doc: 'Keys that seal secrets: 32 bytes each, in base64 or hexadecimal, one per line. The first seals; all open. Ingesters and pushers need the same. Default: a key of its own in --dataDir.',
  },
  sealingKey: {
    type: 'string',
    env: ['WATERSHED_SEALING_KEY'],
    secret: true,
    doc: 'The same keys themselves, in place of a file.',
  },
});

export const program: Program<typeof table> = {
  name: 'watershed-ingester',
  description: 'The ingester of Watershed: configuration of a cluster in, events on the log out.',
  version,
  table,
  check: (config) => {
    const problems = [...checkShared(config, { blobs: false })];
    if (config.configDirs.length === 0 && config.meshConfig === undefined) {
      problems.push('--configDir: nothing to read; name a directory, or a file with --meshConfig');
    }
    if (config.sealingKey !== undefined && config.sealingKeyFile !== undefined) {
      problems.push('WATERSHED_SEALING_KEY: not together with --sealingKeyFile');
    }
    return problems;
  },
};

export type Config = ConfigOf<typeof table>;
