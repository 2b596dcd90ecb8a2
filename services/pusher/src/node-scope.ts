/**
 * What a proxy says of itself, and the scope that follows from it. Node ids and metadata are
 * istio's: `sidecar~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local`. All of it is the client's word:
 * it is checked and bounded here; whether the client may be that is another question (see
 * `identity/caller.ts`, which alone calls `parseNode`).
 */
import { scopeId } from '@watershed/blob/scope-id.ts';
import { OwnStreams, ProxyType, ScopeClass, type Selectors } from '@watershed/model/gen/record.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import { hostsOf, type HostsApart } from './hosts-apart.ts';
import { nodeFields, type NodeFields } from './node-fields.ts';
import { printable } from './printable.ts';

export interface ProxyNode extends HostsApart {
  readonly id: string;
  readonly type: ProxyType;
  readonly namespace: string;
  readonly pod: string;
  /** The namespace in its id; mostly the same. */
  readonly podNamespace: string;
  /** The domain of its own names, `shop.svc.cluster.local`: short names are short in it. */
  readonly dnsDomain: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly cluster: string;
  readonly network: string;
  readonly interception: string;
  /** The workload itself is the client, by gRPC: istio's `GENERATOR: grpc`. */
  readonly proxyless: boolean;
  /** The bootstrap has the static secrets `default` and `ROOTCA`. */
  readonly certificates: boolean;
  readonly serviceAccount: string;
  readonly podPorts: Readonly<Record<string, number>>;
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  /** For people: `1.40.0`. */
  readonly version: string;
  /** The version of the sidecar, as istio's agents tell it. */
  readonly istioVersion: string;
  /** It asks for what its resources refer to by streams of their own, of this kind. */
  readonly ownStreams: OwnStreams;
  /** Its client features: it knows TTLs, and Resources in state of the world (rules 45, 47). */
  readonly resourceTtl: boolean;
  readonly resourceInSotw: boolean;
}

/** Envoy's are of 60 KB. */
const maxBytes = 512 * 1024;
const maxId = 1_024;
const maxText = 253;
const maxLabels = 256;
const maxLabelValue = 1_024;
const maxPorts = 256;

const proxyTypes: Readonly<Record<string, ProxyType>> = {
  sidecar: ProxyType.PROXY_TYPE_SIDECAR,
  router: ProxyType.PROXY_TYPE_ROUTER,
  ztunnel: ProxyType.PROXY_TYPE_ZTUNNEL,
};
const typeNames = 'sidecar, router or ztunnel';

/** @throws OperatingError `invalid`: what is wrong with the node, for the client to read. */
export function parseNode(bytes: Uint8Array): ProxyNode {
  if (bytes.length > maxBytes) throw wrong('node', `${bytes.length} bytes`, `over ${maxBytes}`);
  let node: NodeFields;
  try {
    node = nodeFields(bytes, metadataKeys);
  } catch (cause) {
    throw new OperatingError('invalid', 'the node cannot be decoded', { cause });
  }
  const id = bounded('node.id', node.id, maxId);
  const [kind = '', , name = '', domain, ...rest] = id.split('~');
  const type = Object.hasOwn(proxyTypes, kind) ? proxyTypes[kind] : undefined;
  const dot = name.lastIndexOf('.');
  if (type === undefined || domain === undefined || rest.length > 0 || dot <= 0) {
    throw wrong('node.id', id, `not TYPE~IP~POD.NAMESPACE~DOMAIN with TYPE ${typeNames}`);
  }
  const metadata = new Metadata(node.metadata);
  const proxyless = type === ProxyType.PROXY_TYPE_SIDECAR && metadata.text('GENERATOR') === 'grpc';
  const namespace = metadata.text('NAMESPACE') || name.slice(dot + 1);
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/u.test(namespace)) {
    throw wrong('namespace', namespace, 'not the name of a namespace');
  }
  const ownStreams = ownStreamsOf(metadata.text('WATERSHED_STREAMS'));
  const { clientFeatures: features, agent } = node;
  const version = printable(node.version.slice(0, maxText));
  const podNamespace = name.slice(dot + 1);
  const { region = '', zone = '', subZone = '' } = node.locality ?? {};
  for (const part of [region, zone, subZone]) bounded('node.locality', part);
  return {
    id,
    type,
    namespace,
    pod: name.slice(0, dot),
    // There are 100,000 of them: the same characters are there once.
    podNamespace: podNamespace === namespace ? namespace : podNamespace,
    dnsDomain: bounded('node.id', domain),
    labels: metadata.labels(),
    cluster: metadata.text('CLUSTER_ID'),
    network: metadata.text('NETWORK'),
    interception: interceptionOf(type, proxyless, metadata),
    proxyless,
    certificates: metadata.text('WATERSHED_CERTS') === 'files',
    serviceAccount: metadata.text('SERVICE_ACCOUNT'),
    podPorts: type === ProxyType.PROXY_TYPE_SIDECAR ? metadata.podPorts() : {},
    region,
    zone,
    subZone,
    version,
    istioVersion: metadata.text('ISTIO_VERSION'),
    ...hostsOf({ wanted: metadata.text('WATERSHED_VHDS'), type, agent, version, ownStreams }),
    ownStreams,
    resourceTtl: features.includes('xds.config.supports-resource-ttl'),
    // Envoy knows it and says so only if its bootstrap does; the short name is gRPC's.
    resourceInSotw:
      features.includes('xds.config.supports-resource-in-sotw') ||
      features.includes('xds.config.resource-in-sotw'),
  };
}

/** Which labels and what else of a node tells its scope: `selectors` of its namespace. */
function scopeClassOf(node: ProxyNode, selectors: Selectors): ScopeClass {
  // All of them get the same.
  if (node.type === ProxyType.PROXY_TYPE_ZTUNNEL) return ScopeClass.create({ type: node.type });
  const labels: Record<string, string> = {};
  for (const key of selectors.labelKeys) {
    const value = Object.hasOwn(node.labels, key) ? node.labels[key] : undefined;
    if (value !== undefined) labels[key] = value;
  }
  const { locality } = selectors;
  return {
    type: node.type,
    namespace: node.namespace,
    labels,
    cluster: node.cluster,
    network: node.network,
    region: locality ? node.region : '',
    zone: locality ? node.zone : '',
    subZone: locality ? node.subZone : '',
    interception: node.interception,
    certificates: node.certificates,
    dnsDomain: node.dnsDomain,
    // No output depends on it.
    serviceAccount: '',
    podPorts: { ...node.podPorts },
    envoyMinor: 0,
    proxyless: node.proxyless,
    hostsOnDemand: node.hostsOnDemand,
    ownStreams: node.ownStreams,
  };
}

export function scopeOf(
  node: ProxyNode,
  selectors: Selectors,
): { readonly id: string; readonly scopeClass: ScopeClass } {
  const scopeClass = scopeClassOf(node, selectors);
  return { id: scopeId(scopeClass), scopeClass };
}

function ownStreamsOf(wanted: string): OwnStreams {
  if (wanted === '') return OwnStreams.OWN_STREAMS_NONE;
  if (wanted === 'grpc') return OwnStreams.OWN_STREAMS_GRPC;
  if (wanted === 'delta-grpc') return OwnStreams.OWN_STREAMS_DELTA_GRPC;
  throw wrong('metadata WATERSHED_STREAMS', wanted, 'not grpc or delta-grpc');
}

/** Nothing intercepts the calls of a workload that makes them itself. */
function interceptionOf(type: ProxyType, proxyless: boolean, metadata: Metadata): string {
  if (type !== ProxyType.PROXY_TYPE_SIDECAR) return '';
  return proxyless ? 'NONE' : metadata.interception();
}

/** Most nodes have no ports, many no labels: one object for all of them. */
const none: Readonly<Record<string, never>> = Object.freeze({});

const metadataKeys = new Set([
  'CLUSTER_ID',
  'GENERATOR',
  'INTERCEPTION_MODE',
  'ISTIO_VERSION',
  'LABELS',
  'NAMESPACE',
  'NETWORK',
  'POD_PORTS',
  'SERVICE_ACCOUNT',
  'WATERSHED_CERTS',
  'WATERSHED_STREAMS',
  'WATERSHED_VHDS',
] as const);
type Key = typeof metadataKeys extends Set<infer Name> ? Name : never;

class Metadata {
  readonly #all: NodeFields['metadata'];

  constructor(all: NodeFields['metadata']) {
    this.#all = all;
  }

  text(name: Key): string {
    const value = this.#value(name);
    if (value === undefined || value === null) return '';
    if (typeof value !== 'string') throw wrong(`metadata ${name}`, kindOf(value), 'not a string');
    return bounded(`metadata ${name}`, value);
  }

  interception(): string {
    const mode = this.text('INTERCEPTION_MODE');
    if (mode === '' || mode === 'REDIRECT' || mode === 'TPROXY' || mode === 'NONE') return mode;
    throw wrong('metadata INTERCEPTION_MODE', mode, 'not REDIRECT, TPROXY or NONE');
  }

  labels(): Readonly<Record<string, string>> {
    const labels: [string, string][] = [];
    for (const [key, value] of Object.entries(recordOf(this.#value('LABELS'), 'metadata LABELS'))) {
      if (typeof value !== 'string') {
        throw wrong(`metadata LABELS[${key.slice(0, 64)}]`, kindOf(value), 'not a string');
      }
      if (value.length > maxLabelValue) {
        throw wrong(
          `metadata LABELS[${key}]`,
          value.slice(0, 64),
          `over ${maxLabelValue} characters`,
        );
      }
      labels.push([key, value]);
    }
    if (labels.length > maxLabels) {
      throw wrong('metadata LABELS', String(labels.length), `over ${maxLabels} labels`);
    }
    return labels.length === 0 ? none : Object.fromEntries(labels);
  }

  /** Kubernetes' container ports: a list, or its JSON as istio's injector writes it. */
  podPorts(): Readonly<Record<string, number>> {
    const value = this.#value('POD_PORTS');
    if (value === undefined || value === null || value === '') return none;
    const list: unknown = typeof value === 'string' ? parseJson(value) : value;
    if (!Array.isArray(list)) {
      throw wrong('metadata POD_PORTS', kindOf(value), 'not a list of ports');
    }
    if (list.length > maxPorts) {
      throw wrong('metadata POD_PORTS', String(list.length), `over ${maxPorts} ports`);
    }
    const ports: [string, number][] = [];
    for (const item of list) {
      const { name, containerPort } = recordOf(item, 'metadata POD_PORTS');
      if (typeof name !== 'string' || name === '') continue;
      if (typeof containerPort !== 'number' || !isPort(containerPort)) {
        throw wrong(`metadata POD_PORTS ${name}`, kindOf(containerPort), 'not a port');
      }
      ports.push([bounded('metadata POD_PORTS', name), containerPort]);
    }
    return Object.fromEntries(ports);
  }

  #value(name: Key): unknown {
    return this.#all.get(name);
  }
}

function recordOf(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw wrong(field, kindOf(value), 'not a map');
  }
  return Object.fromEntries(Object.entries(value));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OperatingError('invalid', 'metadata POD_PORTS is not JSON', { cause });
  }
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value < 65_536;
}

function bounded(field: string, text: string, most = maxText): string {
  if (text.length > most) throw wrong(field, `${text.slice(0, 64)}…`, `over ${most} characters`);
  // People read it, on terminals too.
  if (printable(text) !== text) throw wrong(field, text, 'has control characters');
  return text;
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'a list' : typeof value;
}

function wrong(field: string, value: string, reason: string): OperatingError {
  return new OperatingError('invalid', `${field} ${JSON.stringify(value)}: ${reason}`);
}
