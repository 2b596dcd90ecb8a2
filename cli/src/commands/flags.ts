import { InvalidArgumentError, type Command } from 'commander';
import { formatAddress, nearAddress, parseAddress } from '@watershed/runtime/address.ts';
import type { MonitoringOptions } from '../monitoring.ts';

interface Waiting {
  readonly timeout: number;
}

export interface MonitoringFlags extends Waiting {
  readonly monitoringAddr: string;
}

export interface FleetFlags extends Waiting {
  readonly monitoringAddr: readonly string[];
}

const standard = '127.0.0.1:15014';
const standards: readonly string[] = [standard];

/** @param whose which of the services can answer, where each is a process */
export function addMonitoringOptions(command: Command, whose: string): Command {
  const doc = `the monitoring port of ${whose}`;
  return withTimeout(
    command.option('--monitoringAddr <host:port>', doc, parseMonitoringAddress, standard),
    10,
  );
}

/** For a question that each pusher is asked. */
export function addFleetOptions(command: Command): Command {
  const doc = 'the monitoring port of Watershed, or of each pusher (with commas, or repeated)';
  return withTimeout(
    command.option('--monitoringAddr <host:port,…>', doc, parseMonitoringAddresses, standards),
    // One that hangs is not to keep what the others say.
    3,
  );
}

function withTimeout(command: Command, seconds: number): Command {
  const doc = 'how long to wait for an answer';
  return command.option('--timeout <seconds>', doc, parseSeconds, seconds);
}

export function monitoringOf(flags: MonitoringFlags): MonitoringOptions {
  return { address: flags.monitoringAddr, timeoutMs: flags.timeout * 1_000 };
}

/** Of each address that was given. */
export function fleetOf(flags: FleetFlags): readonly MonitoringOptions[] {
  return flags.monitoringAddr.map((address) => ({ address, timeoutMs: flags.timeout * 1_000 }));
}

function parseMonitoringAddresses(value: string, before: readonly string[]): readonly string[] {
  const more = value.split(',').map((one) => parseMonitoringAddress(one.trim()));
  return [...new Set([...(before === standards ? [] : before), ...more])];
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
