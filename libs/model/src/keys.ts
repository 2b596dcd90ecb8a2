/**
 * Keys and partitions of the log's topics. A key's parts are joined by "|", which no name of
 * Kubernetes, no host and no label key contains; `part` refuses it.
 */

export const topics = {
  config: 'config',
  endpoints: 'endpoints',
  objects: 'objects',
  xds: 'xds',
  feedback: 'feedback',
  history: 'history',
} as const;

/** Kinds of the topic `config`; each is a case of `Event.object`. */
export type ConfigKind =
  | 'mesh'
  | 'namespace'
  | 'service'
  | 'policy'
  | 'gateway'
  | 'route'
  | 'scope'
  | 'secret'
  | 'authorization'
  | 'peerAuthentication'
  | 'source'
  | 'destinations';

export interface ConfigKey {
  readonly cluster: string;
  readonly kind: ConfigKind;
  readonly namespace: string;
  readonly name: string;
}

function part(value: string): string {
  if (value.includes('|')) throw new RangeError(`key part ${JSON.stringify(value)} contains "|"`);
  return value;
}

/** `cluster|kind|namespace|name` */
export function configKey(key: ConfigKey): string {
  return `${part(key.cluster)}|${key.kind}|${part(key.namespace)}|${part(key.name)}`;
}

export function parseConfigKey(key: string): ConfigKey {
  const [cluster, kind, namespace, name] = key.split('|');
  if (name === undefined) throw new RangeError(`not a config key: ${JSON.stringify(key)}`);
  return {
    cluster: cluster as string,
    kind: kind as ConfigKind,
    namespace: namespace as string,
    name,
  };
}

/** An object as users call it. */
export interface ObjectName {
  /** Empty for the core group. */
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Of the last good version of an object. */
export interface ObjectsKey extends ObjectName {
  readonly cluster: string;
}

/** `cluster|group|kind|namespace|name` */
export function objectsKey({ cluster, group, kind, namespace, name }: ObjectsKey): string {
  return [cluster, group, kind, namespace, name].map(part).join('|');
}

export function parseObjectsKey(key: string): ObjectsKey {
  const [cluster, group, kind, namespace, name] = key.split('|');
  if (name === undefined) throw new RangeError(`not an objects key: ${JSON.stringify(key)}`);
  return {
    cluster: cluster as string,
    group: group as string,
    kind: kind as string,
    namespace: namespace as string,
    name,
  };
}

/**
 * Where the endpoints of a host come from: an EndpointSlice, a ServiceEntry, a WorkloadEntry. Or
 * one `instance` of what runs, a Workload: its uid stands for the host.
 */
export interface EndpointsKey {
  readonly host: string;
  readonly cluster: string;
  readonly kind: 'slice' | 'entry' | 'workload' | 'instance';
  readonly namespace: string;
  readonly name: string;
}

/** `host|cluster|kind|namespace|name` */
export function endpointsKey(key: EndpointsKey): string {
  return [key.host, key.cluster, key.kind, key.namespace, key.name].map(part).join('|');
}

export function parseEndpointsKey(key: string): EndpointsKey {
  const [host, cluster, kind, namespace, name] = key.split('|');
  if (name === undefined) throw new RangeError(`not an endpoints key: ${JSON.stringify(key)}`);
  return {
    host: host as string,
    cluster: cluster as string,
    kind: kind as EndpointsKey['kind'],
    namespace: namespace as string,
    name,
  };
}

/**
 * The partition of a host (or of a scope): FNV-1a over the UTF-16 code units, so it is the same in
 * every process and for ever. Changing it, or a partition count, is a new topic generation.
 */
export function partitionOf(keyPart: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < keyPart.length; i++) {
    hash = Math.imul(hash ^ keyPart.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % partitions;
}

export const xdsKeys = {
  /** `r|type|name|variant`; the name of a cluster contains "|", so it is percent-encoded there. */
  resource: (typeUrl: string, name: string, variant: string): string =>
    `r|${typeUrl}|${encodePart(name)}|${encodePart(variant)}`,
  manifest: (scope: string): string => `m|${scope}`,
  watermark: (partition: number): string => `w|${partition}`,
  selectors: (namespace: string): string => `s|${namespace}`,
};

function encodePart(value: string): string {
  return value.replaceAll('%', '%25').replaceAll('|', '%7C');
}
