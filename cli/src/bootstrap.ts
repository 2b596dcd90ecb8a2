/**
 * The bootstrap of a stock Envoy: enough to find the control plane, all else comes by ADS.
 *
 * Shapes are Envoy's `envoy.config.bootstrap.v3.Bootstrap` as JSON. Node ids and metadata are
 * istio's.
 */

import type { Address } from '@watershed/runtime/address.ts';
import {
  fileCertificate,
  isIpAddress,
  tokenSender,
  upstreamTls,
  type XdsTls,
} from './bootstrap-tls.ts';

export interface NodeOptions {
  /** `sidecar~IP~POD.NS~DNS_DOMAIN` or `router~…` */
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Merged over what the node id and the labels give. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Holds `cert-chain.pem`, `key.pem` and `root-cert.pem`, as istio's `/etc/certs` does. */
  readonly certDir: string | undefined;
}

export interface BootstrapOptions extends NodeOptions {
  readonly xdsHost: string;
  readonly xdsPort: number;
  /** Tried in that order while the first is away. */
  readonly otherXds?: readonly Address[];
  readonly delta: boolean;
  /** Listeners are asked for as a collection, by a name of the scheme `xdstp`. */
  readonly xdstp?: boolean;
  /** A stream for each type, and for each reference of a resource, in place of one for all (ADS). */
  readonly separateStreams?: boolean;
  readonly adminPort: number;
  /** How the control plane is reached; absent: in plaintext. */
  readonly tls?: XdsTls | undefined;
}

export interface NodeId {
  readonly type: 'sidecar' | 'router';
  readonly ip: string;
  readonly pod: string;
  readonly namespace: string;
  readonly domain: string;
}

const nodeIdForm = 'TYPE~IP~POD.NAMESPACE~DNS_DOMAIN, TYPE being sidecar or router';

/** @throws RangeError that names the value and the form. */
export function parseNodeId(id: string): NodeId {
  const [type, ip, podAndNamespace, domain, ...rest] = id.split('~');
  const dot = podAndNamespace?.lastIndexOf('.') ?? -1;
  if (
    (type !== 'sidecar' && type !== 'router') ||
    ip === undefined ||
    !isIpAddress(ip) ||
    podAndNamespace === undefined ||
    domain === undefined ||
    rest.length > 0 ||
    dot <= 0 ||
    dot === podAndNamespace.length - 1
  ) {
    throw new RangeError(`--node ${JSON.stringify(id)}: must be ${nodeIdForm}`);
  }
  return {
    type,
    ip,
    pod: podAndNamespace.slice(0, dot),
    namespace: podAndNamespace.slice(dot + 1),
    domain,
  };
}

/** What a data plane says of itself, whichever it is: `envoy.config.core.v3.Node` as JSON. */
export function nodeOf(options: NodeOptions): {
  readonly id: string;
  readonly cluster: string;
  readonly metadata: Readonly<Record<string, unknown>>;
} {
  const node = parseNodeId(options.node);
  return {
    id: options.node,
    cluster: options.labels['app'] ?? node.pod,
    metadata: {
      NAMESPACE: node.namespace,
      NAME: node.pod,
      INSTANCE_IPS: node.ip,
      CLUSTER_ID: 'Kubernetes',
      LABELS: options.labels,
      ...(options.certDir === undefined ? {} : { WATERSHED_CERTS: 'files' }),
      ...options.metadata,
    },
  };
}

/** JSON-ready, keys in a stable order. */
export function envoyBootstrap(options: BootstrapOptions): Record<string, unknown> {
  const { id, cluster, metadata } = nodeOf(options);
  const { delta, separateStreams } = options;
  const kind = delta ? 'delta-grpc' : 'grpc';
  return {
    node: {
      id,
      cluster,
      // Envoy knows TTLs, and says so only if it is told to. Over state of the world, 1.40 takes no
      // heartbeat and crashes when a TTL ends.
      ...(delta ? { client_features: ['xds.config.supports-resource-ttl'] } : {}),
      metadata: separateStreams === true ? { WATERSHED_STREAMS: kind, ...metadata } : metadata,
    },
    admin: {
      address: { socket_address: { address: '127.0.0.1', port_value: options.adminPort } },
    },
    dynamic_resources: dynamicResources(options),
    static_resources: {
      clusters: [xdsCluster(options)],
      ...(options.certDir === undefined ? {} : { secrets: fileSecrets(options.certDir) }),
    },
    // No limit of our own; without any, Envoy warns.
    overload_manager: {
      resource_monitors: [
        {
          name: 'envoy.resource_monitors.global_downstream_max_connections',
          typed_config: {
            '@type':
              'type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
            max_active_downstream_connections: 2_147_483_647,
          },
        },
      ],
    },
  };
}

/** The control plane's authority, and all that it has of the type. */
const listeners = 'xdstp://watershed/envoy.config.listener.v3.Listener/*';

function dynamicResources(options: BootstrapOptions): Record<string, unknown> {
  const stream = {
    api_type: options.delta ? 'DELTA_GRPC' : 'GRPC',
    transport_api_version: 'V3',
    // Else every ACK carries the whole node.
    set_node_on_first_message_only: true,
    grpc_services: [service],
  };
  const separate = options.separateStreams === true;
  const from = separate ? { api_config_source: stream } : { ads: {} };
  const source = { ...from, resource_api_version: 'V3', initial_fetch_timeout: '0s' };
  return {
    lds_config: source,
    cds_config: source,
    ...(separate ? {} : { ads_config: stream }),
    ...(options.xdstp === true ? { lds_resources_locator: listeners } : {}),
  };
}

const service = {
  envoy_grpc: {
    cluster_name: 'xds-grpc',
    // A reconnect costs next to nothing here, so nobody waits for it as long as Envoy would by
    // itself (30 s).
    retry_policy: { retry_back_off: { base_interval: '0.5s', max_interval: '5s' } },
  },
};

function xdsCluster(options: BootstrapOptions): Record<string, unknown> {
  const { xdsHost, xdsPort, otherXds = [], tls } = options;
  const addresses = [{ host: xdsHost, port: xdsPort }, ...otherXds];
  const isIp = addresses.every(({ host }) => isIpAddress(host));
  return {
    name: 'xds-grpc',
    type: isIp ? 'STATIC' : 'STRICT_DNS',
    connect_timeout: '1s',
    ...(isIp ? {} : { respect_dns_ttl: true }),
    load_assignment: {
      cluster_name: 'xds-grpc',
      endpoints: addresses.map(({ host, port }, priority) => ({
        lb_endpoints: [
          { endpoint: { address: { socket_address: { address: host, port_value: port } } } },
        ],
        ...(priority === 0 ? {} : { priority }),
      })),
    },
    ...(otherXds.length === 0 ? {} : { outlier_detection: passOver }),
    ...(tls === undefined ? {} : { transport_socket: upstreamTls(tls) }),
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config: {
          http2_protocol_options: { connection_keepalive: keepalive },
        },
        ...(tls?.tokenFile === undefined ? {} : { http_filters: tokenSender(tls.tokenFile) }),
      },
    },
  };
}

/**
 * PINGs, for TCP's own probes are answered by the kernel of a pusher that hangs. Envoy leaves it
 * after 28 s at most (it makes the interval up to 15 % longer). One costs a pusher 10 to 20 µs of
 * CPU, so those of 100,000 proxies a tenth of a processor, all pushers together.
 */
const keepalive = { interval: '15s', timeout: '10s' };

/**
 * Without it Envoy would try an address that does not answer for ever, and come back at once to a
 * pusher that has asked it to go.
 */
const passOver = {
  consecutive_gateway_failure: 1,
  enforcing_consecutive_gateway_failure: 100,
  enforcing_consecutive_5xx: 0,
  enforcing_success_rate: 0,
  interval: '1s',
  base_ejection_time: '30s',
  max_ejection_time: '60s',
  max_ejection_percent: 100,
};

/** The names that generated TLS contexts refer to: istio's `default` and `ROOTCA`. */
function fileSecrets(dir: string): readonly Record<string, unknown>[] {
  return [
    {
      name: 'default',
      tls_certificate: fileCertificate(dir),
    },
    { name: 'ROOTCA', validation_context: { trusted_ca: { filename: `${dir}/root-cert.pem` } } },
  ];
}
