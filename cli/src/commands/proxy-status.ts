import type { Command } from 'commander';
import { systemTime } from '@watershed/runtime/clock.ts';
import { askFleet, type Pusher } from '../fleet.ts';
import { fieldsOf, textOf } from '../monitoring.ts';
import type { Surroundings } from '../surroundings.ts';
import { table } from '../table.ts';
import { addFleetOptions, fleetOf, type FleetFlags } from './flags.ts';

/** Types by istio's abbreviations, in istioctl's order. */
const shortNames: Readonly<Record<string, string>> = {
  'type.googleapis.com/envoy.config.cluster.v3.Cluster': 'CDS',
  'type.googleapis.com/envoy.config.listener.v3.Listener': 'LDS',
  'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment': 'EDS',
  'type.googleapis.com/envoy.config.route.v3.RouteConfiguration': 'RDS',
  'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret': 'SDS',
  'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig': 'ECDS',
  'type.googleapis.com/envoy.config.route.v3.VirtualHost': 'VHDS',
  'type.googleapis.com/envoy.service.runtime.v3.Runtime': 'RTDS',
};
/** Columns that are always there; others where somebody subscribes to them. */
const always: ReadonlySet<string> = new Set(['CDS', 'LDS', 'EDS', 'RDS']);

interface Row {
  readonly name: string;
  readonly cluster: string;
  readonly pusher: string;
  /** By abbreviation. */
  readonly states: ReadonlyMap<string, string>;
  readonly version: string;
  readonly scope: string;
}

/** Fails where a pusher does not answer, after what the others say. */
export function addProxyStatus(
  program: Command,
  { print, progress }: Pick<Surroundings, 'print' | 'progress'>,
): void {
  const command = program
    .command('proxy-status')
    .alias('ps')
    .description('which proxies are connected, and whether each has ACKed what it was sent');
  addFleetOptions(command).action(async (flags: FleetFlags) => {
    const onSlow = (addresses: readonly string[]): void =>
      progress(`waiting for ${addresses.join(', ')}, for ${flags.timeout} s at most`);
    const { pushers, failures, unheard } = await askFleet(fleetOf(flags), systemTime, onSlow);
    for (const { name, silence } of pushers) {
      const whose = pushers.length === 1 ? '' : `${name}: `;
      if (silence !== '') print(`${whose}${silence}: what proxies have is as old as that\n`);
    }
    if (pushers.length > 0) print(proxyStatus(pushers, Date.now()));
    for (const one of unheard) {
      // Of who did not answer nobody knows which of them it is.
      if (failures.length > 0) progress(`did not answer, or was not asked: pusher ${one}`);
      else progress(`not asked: pusher ${one}; --monitoringAddr takes several addresses`);
    }
    if (failures.length > 0) throw new Error(failures.join('\n'));
  });
}

/**
 * Istiod's `/debug/syncz` as `istioctl proxy-status -v 1` prints its like, with the scope at the
 * end; several streams of one proxy are several rows.
 */
export function proxyStatus(pushers: readonly Pusher[], nowMs: number): string {
  const rows = pushers.flatMap(({ name, streams }) =>
    streams.map((entry) => rowOf(fieldsOf(entry), name, nowMs)),
  );
  rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  const seen = new Set(rows.flatMap(({ states }) => [...states.keys()]));
  const known = Object.values(shortNames).filter((name) => always.has(name) || seen.has(name));
  const types = [...new Set([...known, ...[...seen].sort()])];
  return table(
    ['NAME', 'CLUSTER', ...types, 'PUSHER', 'VERSION', 'SCOPE'],
    rows.map(({ name, cluster, states, pusher, version, scope }) => [
      ...[name, cluster, ...types.map((type) => states.get(type) ?? 'IGNORED')],
      ...[pusher, version, scope],
    ]),
  );
}

function rowOf(entry: Readonly<Record<string, unknown>>, pusher: string, nowMs: number): Row {
  const resources = Object.entries(fieldsOf(entry['resources']));
  return {
    name: textOf(entry['proxy']),
    cluster: textOf(entry['cluster_id']),
    pusher,
    states: new Map(
      resources.map(([typeUrl, status]) => [
        shortNames[typeUrl] ?? typeUrl.slice(typeUrl.lastIndexOf('.') + 1),
        stateOf(fieldsOf(status), nowMs),
      ]),
    ),
    version: textOf(entry['istio_version']) || textOf(entry['proxy_version']),
    scope: textOf(entry['scope']),
  };
}

/** Of one type: nonces are opaque, and what is absent never was. */
function stateOf(status: Readonly<Record<string, unknown>>, nowMs: number): string {
  const sent = textOf(status['sent']);
  const spared = status['spared'] === true;
  if (sent === '') return spared ? 'SPARED' : 'NOT SENT';
  const isAcked = sent === textOf(status['acked']);
  const word = isAcked ? (spared ? 'SPARED' : 'SYNCED') : 'STALE';
  const sentMs = Date.parse(textOf(status['sentTime']));
  const age = Number.isNaN(sentMs) ? '' : ` (${ageOf(nowMs - sentMs)})`;
  return `${textOf(status['lastError']) === '' ? word : 'ERROR'}${age}`;
}

/** `45s`, `4m55s`, `3h12m`, `2d4h`: two units at most, as kubectl writes it. */
function ageOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3_600) % 24],
    ['m', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ] as const;
  const first = units.findIndex(([, count]) => count > 0);
  if (first < 0) return '0s';
  return units
    .slice(first, first + 2)
    .filter(([, count]) => count > 0)
    .map(([unit, count]) => `${count}${unit}`)
    .join('');
}
