/**
 * Whether a proxy gets the virtual hosts of its route tables apart from them (VHDS). It asks for
 * that by `WATERSHED_VHDS`; but its tables name ADS as where their hosts come from, and a proxy
 * that does not take that refuses every table, and serves nothing.
 */
import { OwnStreams, ProxyType } from '@watershed/model/gen/record.ts';

export interface HostsApart {
  /** It takes the virtual hosts of route tables apart from them, over delta. */
  readonly hostsApart: boolean;
  /** A router that gets of them what it asks for by name, as requests come for it. */
  readonly hostsOnDemand: boolean;
  /** Why it has them in their tables though it asks for them apart, for people; else empty. */
  readonly hostsInline: string;
}

interface Asking {
  /** Of the metadata. */
  readonly wanted: string;
  readonly type: ProxyType;
  /** What it is: `envoy`. */
  readonly agent: string;
  readonly version: string;
  readonly ownStreams: OwnStreams;
}

export function hostsOf({ wanted, type, ...how }: Asking): HostsApart {
  const asks = wanted === 'true' || wanted === 'on-demand';
  const hostsInline = asks ? obstacle(how) : '';
  const hostsApart = asks && hostsInline === '';
  // Sidecars' tables have names with wildcards, so these ask for nothing.
  const mayDemand = type === ProxyType.PROXY_TYPE_ROUTER && wanted === 'on-demand';
  return { hostsApart, hostsOnDemand: hostsApart && mayDemand, hostsInline };
}

/** A client that is no Envoy, or does not tell its version, is taken at its word. */
function obstacle({ agent, version, ownStreams }: Omit<Asking, 'wanted' | 'type'>): string {
  if (ownStreams !== OwnStreams.OWN_STREAMS_NONE) return 'it has no ADS, but separate streams';
  return agent === 'envoy' && isBefore(version, 1, 40) ? 'it is an Envoy before 1.40' : '';
}

function isBefore(version: string, major: number, minor: number): boolean {
  const [, itsMajor, itsMinor] = /^(\d+)\.(\d+)/u.exec(version) ?? [];
  if (itsMajor === undefined) return false;
  return Number(itsMajor) < major || (Number(itsMajor) === major && Number(itsMinor) < minor);
}
