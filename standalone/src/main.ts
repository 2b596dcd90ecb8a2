#!/usr/bin/env node
import { hostname } from 'node:os';
import { systemTime } from '@watershed/runtime/clock.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { Lifecycle } from '@watershed/runtime/lifecycle.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { OptionsError } from '@watershed/runtime/options.ts';
import { parseOptions } from '@watershed/runtime/options-parse.ts';
import { openTracing, tracingOptions } from '@watershed/runtime/tracing-open.ts';
import { version } from '@watershed/runtime/version.ts';
import { createApp } from './app.ts';
import { type Config, program } from './config.ts';
import { welcome } from './welcome.ts';

const scopes = ['default', 'log', 'ingester', 'translator', 'pusher', 'monitoring'];

try {
  const parsed = parseOptions(program, { argv: process.argv.slice(2), environment: process.env });
  if (parsed.kind === 'print') process.stdout.write(parsed.text);
  else await run(parsed.config, parsed.warnings);
} catch (error) {
  const problems = error instanceof OptionsError ? error.problems : [describeError(error)];
  process.stderr.write(`${problems.map((problem) => `watershed: ${problem}`).join('\n')}\n`);
  // What was opened before it failed must not keep the process.
  process.exit(1);
}

async function run(config: Config, warnings: readonly string[]): Promise<void> {
  const logging = new Logging({
    scopes,
    levels: config.logLevels,
    json: config.logAsJson ?? !process.stdout.isTTY,
    clock: systemTime,
    write: (line) => process.stderr.write(line),
  });
  const logger = logging.scope('default');
  for (const warning of warnings) logger.warn(warning);
  const tracing = await openTracing(tracingOptions(config, version, logger));
  const lifecycle = new Lifecycle({ timers: systemTime, logger, drainMs: config.shutdownMs });
  const stopped = lifecycle.runUntilSignal(process, () => process.exit(1));
  const app = await createApp(config, {
    time: systemTime,
    logging,
    tracing,
    random: Math.random,
    name: `${hostname()}-${process.pid}`,
    onFatal: (error) => {
      logger.fatal('it cannot go on', { error });
      process.exitCode = 1;
      process.kill(process.pid, 'SIGTERM');
    },
  });
  const started = lifecycle.start(app.parts).then(() => app.readiness.whenReady());
  // What it waits for may never come (a directory that is not there).
  const stoppedFirst = await Promise.race([started.then(() => false), stopped.then(() => true)]);
  if (stoppedFirst) {
    await tracing.shutdown();
    return;
  }
  const addresses = app.addresses();
  // For who started it with port 0: where it listens, in a form that programs read.
  logger.info('Watershed is ready', { ...addresses });
  process.stdout.write(welcome(config, addresses));
  await stopped;
  await tracing.shutdown();
}
