import type { Command } from 'commander';
import { fieldsOf, getJson, textOf } from '../monitoring.ts';
import { table } from '../table.ts';
import { addMonitoringOptions, type MonitoringFlags, monitoringOf } from './flags.ts';

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
    const answer = await getJson(monitoringOf(flags), '/debug/syncz');
    const entries: readonly unknown[] = Array.isArray(answer) ? answer : [];
    const rows = entries
      .map(fieldsOf)
      .map((entry) => [
        textOf(entry['proxy']),
        textOf(entry['cluster_id']),
        ...types.map(([, field]) => stateOf(entry, field)),
        textOf(entry['scope']),
      ]);
    rows.sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1));
    print(table(['NAME', 'CLUSTER', ...types.map(([name]) => name), 'SCOPE'], rows));
  });
}

/**
 * Of one entry of istiod's `/debug/syncz`: versions are opaque, and empty means never sent.
 */
function stateOf(entry: Readonly<Record<string, unknown>>, field: string): string {
  if (entry[`${field}_nacked`] === true) return 'REJECTED';
  const sent = entry[`${field}_sent`];
  const acked = entry[`${field}_acked`];
  if (typeof sent !== 'string' || sent === '') return 'NOT SENT';
  if (sent === acked) return 'SYNCED';
  return acked === undefined || acked === '' ? 'STALE (Never Acknowledged)' : 'STALE';
}
