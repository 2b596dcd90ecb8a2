/**
 * What every process does: reads its options, logs, traces, starts its parts, stops them in order
 * on a signal, and says in a line why it could not. What the parts are, each program says by
 * itself.
 */
import { hostname } from 'node:os';
import { formatAddress, nearAddress } from './address.ts';
import { systemTime, type Time } from './clock.ts';
import { complain } from './command.ts';
import { describeError } from './errors.ts';
import type { DebugPage } from './debug-pages.ts';
import { MonitoringServer, type DebugAccess } from './http.ts';
import { Lifecycle, type Part } from './lifecycle.ts';
import { logOutput } from './log-output.ts';
import { Logging } from './logger.ts';
import { watershedMetrics } from './metric-names.ts';
import { Metrics } from './metrics.ts';
import { pilotMetrics } from './pilot-metric-names.ts';
import type { processOptions } from './options-common.ts';
import { OptionsError, type ConfigOf } from './options.ts';
import { Readiness } from './readiness.ts';
import { openTracing, tracingOptions } from './tracing-open.ts';
import type { Tracing } from './tracing.ts';
import { tellWaiting } from './waiting.ts';

type ProcessConfig = ConfigOf<typeof processOptions>;

/** What surrounds the parts of a process. */
export interface Surroundings {
  readonly time: Time;
  readonly random: () => number;
  readonly logging: Logging;
  readonly tracing: Tracing;
  readonly metrics: Metrics;
  readonly readiness: Readiness;
  /** The host's name and pid: unique among processes. */
  readonly name: string;
  /** Ends the process in order, with status 1. */
  readonly onFatal: (error: unknown) => void;
  /** `npx xdsctl COMMAND` that asks this process, as it is typed on this machine. */
  readonly xdsctl: (command: string) => string;
}

export interface Composition {
  /** Let go of last. */
  readonly storage: Part;
  /** In the order in which they are started, after the monitoring server. */
  readonly parts: readonly Part[];
  readonly pages: readonly DebugPage[];
  readonly debugAccess?: DebugAccess | undefined;
  /**
   * Called once it is ready; `monitoring`: `host:port` by which this machine gets /metrics and
   * /debug.
   */
  readonly ready?: (monitoring: string) => void;
}

export interface ProgramOptions<C extends ProcessConfig> {
  readonly name: string;
  readonly version: string;
  /** @throws OptionsError */
  readonly parse: () => Parsed<C>;
  /** Of its log; `default` and `monitoring` are always there. */
  readonly logScopes: readonly string[];
  readonly compose: (config: C, around: Surroundings) => Promise<Composition>;
}

type Parsed<C> =
  | { readonly kind: 'run'; readonly config: C; readonly warnings: readonly string[] }
  | { readonly kind: 'print'; readonly text: string };

/** Runs to the end of the process. */
export async function runProgram<C extends ProcessConfig>(
  options: ProgramOptions<C>,
): Promise<void> {
  try {
    const parsed = options.parse();
    if (parsed.kind === 'print') process.stdout.write(parsed.text);
    else {
      await run(options, parsed.config, parsed.warnings);
      // What was asked to stop before it started holds on to what it opened.
      process.exit();
    }
  } catch (error) {
    complain(options.name, error instanceof OptionsError ? error.problems : [describeError(error)]);
    // What was opened before it failed must not keep the process.
    process.exit(1);
  }
}

async function run<C extends ProcessConfig>(
  { name, version, logScopes, compose }: ProgramOptions<C>,
  config: C,
  warnings: readonly string[],
): Promise<void> {
  const time = systemTime;
  const logging = new Logging({
    scopes: ['default', 'monitoring', ...logScopes],
    levels: config.logLevels,
    json: config.logAsJson ?? !process.stdout.isTTY,
    clock: time,
    write: logOutput(),
  });
  const logger = logging.scope('default');
  for (const warning of warnings) logger.warn(warning);
  const tracing = await openTracing(tracingOptions(config, { name, version }, logger));
  const lifecycle = new Lifecycle({ timers: time, logger, drainMs: config.shutdownMs });
  const stopped = lifecycle.runUntilEnd(process, () => process.exit(1));
  const metrics = processMetrics(version, time);
  const readiness = new Readiness();
  metrics.derivedSeries(watershedMetrics.awaySeconds, () => readiness.away);
  // Parts name what they wait for when they start: until then nothing may look ready.
  const allStarted = readiness.expect('start');
  tellWaiting({ readiness, timers: time, logger });
  const { storage, parts, pages, debugAccess, ready } = await compose(config, {
    time,
    random: Math.random,
    logging,
    tracing,
    metrics,
    readiness,
    name: `${hostname()}-${process.pid}`,
    onFatal: (error) => {
      // Some options are found to be wrong only when what they name is opened.
      if (error instanceof OptionsError) complain(name, error.problems);
      else logger.fatal('it cannot go on', { error });
      process.exitCode = 1;
      lifecycle.end({ reason: 'it cannot go on' });
    },
    xdsctl: (command) => `npx xdsctl ${command} --monitoringAddr ${addressOf(monitoring)}`,
  });
  const monitoring = new MonitoringServer({
    address: config.monitoringAddr,
    version,
    readiness,
    metrics,
    logger: logging.scope('monitoring'),
    pages: config.debugOnHttp ? pages : [],
    debugAccess,
  });
  const started = lifecycle.start([storage, monitoring, ...parts]).then(allStarted);
  // What a part waits for may never come: a directory that is not there, a log that is away.
  await Promise.race([started, stopped]);
  void readiness.whenReady().then(() => ready?.(addressOf(monitoring)));
  await stopped;
  await tracing.shutdown();
}

/** Of the process itself, whatever it does. */
function processMetrics(version: string, time: Time): Metrics {
  const metrics = new Metrics({ process: true });
  const startedMs = time.monotonic();
  metrics.gauge(pilotMetrics.info).with({ version }).set(1);
  metrics.gauge(pilotMetrics.build).with({ component: 'pilot', tag: version }).set(1);
  metrics.derived(pilotMetrics.uptimeSeconds, () => (time.monotonic() - startedMs) / 1_000);
  return metrics;
}

/** By which this machine reaches it, once it listens. */
function addressOf({ address }: MonitoringServer): string {
  return formatAddress(nearAddress(address));
}
