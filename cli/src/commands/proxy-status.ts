import type { Command } from 'commander';
import { getJson } from '../monitoring.ts';
import { table } from '../table.ts';
import { addMonitoringOptions, type MonitoringFlags, monitoringOf } from './flags.ts';

/** One entry of istiod's `/debug/syncz`. Versions are opaque; empty means never sent. */
interface SyncEntry {
  readonly proxy?: string;
  readonly cluster_id?: string;
  readonly proxy_type?: string;
  readonly istio_version?: string;
  readonly [versions: string]: unknown;
}

const types = [
  ['CDS', 'cluster'],
  ['LDS', 'listener'],
  ['EDS', 'endpoint'],
  ['RDS', 'route'],
  ['SDS', 'secret'],
  ['ECDS', 'extensionconfig'],
] as const;

export function addProxyStatus(program: Command, print: (text: string) => void): void {
  const command = program
    .command('proxy-status')
    .alias('ps')
    .description('which proxies are connected, and whether each has ACKed what it was sent');
  addMonitoringOptions(command).action(async (flags: MonitoringFlags) => {
    const entries = (await getJson(monitoringOf(flags), '/debug/syncz')) as readonly SyncEntry[];
    const rows = entries.map((entry) => [
      entry.proxy ?? '',
      entry.cluster_id ?? '',
      ...types.map(([, field]) => stateOf(entry, field)),
      String(entry['scope'] ?? ''),
    ]);
    rows.sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1));
    print(table(['NAME', 'CLUSTER', ...types.map(([name]) => name), 'SCOPE'], rows));
  });
}

function stateOf(entry: SyncEntry, field: string): string {
  if (entry[`${field}_nacked`] === true) return 'REJECTED';
  const sent = entry[`${field}_sent`];
  const acked = entry[`${field}_acked`];
  if (typeof sent !== 'string' || sent === '') return 'NOT SENT';
  if (sent === acked) return 'SYNCED';
  return acked === undefined || acked === '' ? 'STALE (Never Acknowledged)' : 'STALE';
}
