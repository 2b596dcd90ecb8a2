import type { Command } from 'commander';
import { openSharedLog } from '@watershed/log/kafka/open.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { checkShared, sharedOptions } from '@watershed/runtime/options-common.ts';
import { defineOptions, type ConfigOf } from '@watershed/runtime/options.ts';
import { parseOptions, type Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';
import type { Surroundings } from '../surroundings.ts';

const { redisUrl: _blobs, redisPassword: _password, ...logOptions } = sharedOptions;
const table = defineOptions({
  ...logOptions,
  timeoutMs: {
    type: 'duration',
    flag: '--timeout',
    default: '0s',
    max: '24h',
    doc: 'How long Kafka is waited for. 0: as long as it takes.',
  },
});

/** The services' own options, flags and variables alike: what they are told, this is told. */
const options: Program<typeof table> = {
  name: 'xdsctl create-topics',
  description:
    "Creates the topics that are absent, with the brokers' default.replication.factor; waits for Kafka. Fails if one is there and cannot be used.",
  version,
  table,
  check: (config) => checkShared(config, { blobs: false }),
};

export function addCreateTopics(
  program: Command,
  { print, progress, environment }: Surroundings,
): void {
  program
    .command('create-topics')
    .description('create the topics on Kafka, before services that may not')
    .helpOption(false)
    .allowUnknownOption()
    .argument('[flags...]', 'of the log, as services take them; --help lists them')
    .action(async (argv: readonly string[]) => {
      const parsed = parseOptions(options, { argv, environment });
      if (parsed.kind === 'print') print(parsed.text.trimEnd());
      else await createTopics(parsed.config, progress);
    });
}

async function createTopics(
  config: ConfigOf<typeof table>,
  progress: Surroundings['progress'],
): Promise<void> {
  const { promise: opened, resolve: worked, reject: onFatal } = Promise.withResolvers<void>();
  let reason = '';
  const failed = (error: unknown): void => {
    const now = describeError(error);
    if (now !== reason) progress(`waiting for the log: ${now}`);
    reason = now;
  };
  const log = await openSharedLog(config, {
    time: systemTime,
    readiness: { awaits: () => ({ failed, worked }) },
    logger: undefined,
    onFatal,
  });
  const { timeoutMs } = config;
  const giveUp = (): void => {
    onFatal(new Error(`no topics after ${timeoutMs / 1_000} s: ${reason}`));
  };
  const timer = timeoutMs > 0 ? systemTime.after(timeoutMs, giveUp) : undefined;
  try {
    await opened;
  } finally {
    timer?.cancel();
    await log.close();
  }
  progress(`the topics are there, of ${config.partitions} partitions`);
}
