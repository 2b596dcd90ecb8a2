import { InvalidArgumentError, type Command } from 'commander';
import type { MonitoringOptions } from '../monitoring.ts';

export interface MonitoringFlags {
  readonly monitoringAddr: string;
  readonly timeout: number;
}

export function addMonitoringOptions(command: Command): Command {
  return command
    .option(
      '--monitoringAddr <host:port>',
      "a Watershed process's monitoring port",
      '127.0.0.1:15014',
    )
    .option('--timeout <seconds>', 'how long to wait for an answer', parseSeconds, 10);
}

export function monitoringOf(flags: MonitoringFlags): MonitoringOptions {
  const address = flags.monitoringAddr.startsWith(':')
    ? `127.0.0.1${flags.monitoringAddr}`
    : flags.monitoringAddr;
  return { address, timeoutMs: flags.timeout * 1000 };
}

function parseSeconds(value: string): number {
  const seconds = Number(value);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new InvalidArgumentError('must be 1 to 3600 seconds');
  }
  return seconds;
}
