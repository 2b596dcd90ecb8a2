/** Which cluster, made of which inputs: the parts of a cluster's name and variant. */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { Streams } from '../generators/config-source.ts';
import { clusterName } from '../generators/names.ts';
import type { ResourceKey } from '../plan.ts';
import { streamsFrom } from './own-streams.ts';
import { decodeVariant, encodeVariant, field } from './variant.ts';

export interface ClusterKey {
  readonly host: string;
  readonly port: number;
  /** '' for all endpoints. */
  readonly subset: string;
  /** `ServiceChoice.ref` */
  readonly service: string;
  /** From `policyOf`. */
  readonly policies: string;
  readonly client: ClusterClient;
}

/** What of a client its clusters depend on. */
export interface ClusterClient {
  readonly router: boolean;
  /** Its bootstrap has certificates, so it can speak mutual TLS. */
  readonly certificates: boolean;
  /** Traffic is not intercepted, so there is no original destination to go to. */
  readonly direct: boolean;
  /** The workload itself, which speaks gRPC: what it does not understand must not be there. */
  readonly proxyless: boolean;
  readonly mesh: string;
  readonly streams: Streams;
}

export function clusterVariant(key: ClusterKey): string {
  const { client } = key;
  return encodeVariant({
    s: key.service,
    p: key.policies,
    r: client.router ? '1' : '',
    t: client.certificates ? '1' : '',
    d: client.direct ? '1' : '',
    g: client.proxyless ? '1' : '',
    m: client.mesh,
    e: client.streams,
  });
}

export function nameOfCluster(key: ClusterKey): string {
  return clusterName('outbound', key.port, key.subset, key.host);
}

/** Owned by the owner of its host, as its endpoints are. */
export function clusterResource(key: ClusterKey): ResourceKey {
  return {
    typeUrl: resourceTypes.cluster,
    name: nameOfCluster(key),
    variant: clusterVariant(key),
    host: key.host,
  };
}

/** Of a cluster, or of its assignment. `undefined`: the name is not one of an outbound cluster. */
export function parseCluster(name: string, variant: string): ClusterKey | undefined {
  const [direction, port, subset, host] = name.split('|');
  if (direction !== 'outbound' || host === undefined) return undefined;
  const fields = decodeVariant(variant);
  return {
    host,
    port: Number(port),
    subset: subset ?? '',
    service: field(fields, 's'),
    policies: field(fields, 'p'),
    client: {
      router: field(fields, 'r') === '1',
      certificates: field(fields, 't') === '1',
      direct: field(fields, 'd') === '1',
      proxyless: field(fields, 'g') === '1',
      mesh: field(fields, 'm'),
      streams: streamsFrom(field(fields, 'e')),
    },
  };
}

export function clusterKeyId(key: ClusterKey): string {
  return `${nameOfCluster(key)}\n${clusterVariant(key)}`;
}
