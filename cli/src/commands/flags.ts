import { InvalidArgumentError, type Command } from 'commander';
import { formatAddress, nearAddress, parseAddress } from '@watershed/runtime/address.ts';
import type { MonitoringOptions } from '../monitoring.ts';

export interface MonitoringFlags {
  readonly monitoringAddr: string;
  readonly timeout: number;
}

/** @param whose which of the services can answer, where each is a process */
export function addMonitoringOptions(command: Command, whose: string): Command {
  return command
    .option(
      '--monitoringAddr <host:port>',
      `the monitoring port of ${whose}`,
      parseMonitoringAddress,
      '127.0.0.1:15014',
    )
    .option('--timeout <seconds>', 'how long to wait for an answer', parseSeconds, 10);
}

export function monitoringOf(flags: MonitoringFlags): MonitoringOptions {
  return { address: flags.monitoringAddr, timeoutMs: flags.timeout * 1_000 };
}

function parseMonitoringAddress(value: string): string {
  const address = parseAddress(value);
  if (address === undefined || address.port === 0) {
    throw new InvalidArgumentError('must be HOST:PORT, [IPV6]:PORT or :PORT');
  }
  return formatAddress(nearAddress(address));
}

function parseSeconds(value: string): number {
  const seconds = Number(value);
  if (!(seconds > 0 && seconds <= 3600)) {
    throw new InvalidArgumentError('must be a number of seconds, at most 3600');
  }
  return seconds;
}
