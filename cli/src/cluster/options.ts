/** What can be chosen of `npm run cluster`. */
import { accessSync } from 'node:fs';
import { describeError } from '@watershed/runtime/errors.ts';
import { sourceOptions } from '@watershed/runtime/options-common.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';

const { group: _group, ...configDirs } = sourceOptions.configDirs;

const table = defineOptions({
  configDirs: {
    ...configDirs,
    doc: 'Directories of objects to serve; may be given several times. Default: the sample shop.',
  },
  dataDir: {
    type: 'string',
    flag: '--dataDir',
    aliases: ['--data-dir'],
    placeholder: 'directory',
    pattern: /./u,
    doc: "Where all of it is kept: Kafka's log, the services' data, the sealing key, the ports, and what processes say. A start with it goes on where the one before ended. Default: a new one, removed at the end.",
  },
  brokers: count('--brokers', 1, 'Kafka brokers.'),
  translators: count('--translators', 2, 'Shards of the translator.'),
  pushers: count('--pushers', 2, 'Replicas of the pusher.'),
  partitions: count('--partitions', 64, 'Of the topics endpoints and xds.'),
  restartDelayMs: {
    type: 'duration',
    flag: '--restartDelay',
    default: '5s',
    max: '24h',
    doc: 'How long a process that has ended stays away until it is started again. Twice as long each time that it ends within 10 s, up to a minute.',
  },
});

function count<F extends `--${string}`>(flag: F, value: number, doc: string) {
  return { type: 'int', flag, default: value, min: 1, max: 4_096, doc } as const;
}

export type ClusterConfig = ConfigOf<typeof table>;

export const program: Program<typeof table> = {
  name: 'cluster',
  typed: 'npm run cluster --',
  description:
    'Watershed as separate services on a Kafka and a Redis of its own, on this machine, until Ctrl-C. A process that ends is told of and started again, so that faults can be tried out.',
  version,
  table,
  // A service would wait for it, as it may be mounted late; here nobody is going to.
  check: ({ configDirs: dirs }) => dirs.flatMap((dir) => troubleOf(dir) ?? []),
};

function troubleOf(dir: string): string | undefined {
  try {
    accessSync(dir);
    return undefined;
  } catch (error) {
    return `--configDir: ${JSON.stringify(dir)}: ${describeError(error)}`;
  }
}
