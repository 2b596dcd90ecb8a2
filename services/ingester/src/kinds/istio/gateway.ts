import type { Reader } from '@watershed/derive/graph.ts';
import { Gateway as GatewayModel, GatewayListener, Protocol } from '@watershed/model/gen/model.ts';
import type { GatewayHost } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import {
  Gateway,
  ServerTLSSettings_TLSmode,
  serverTLSSettings_TLSmodeToJSON,
} from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { Port, Server } from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { At } from '../../decode.ts';
import type { Emission, Kind, SourceObject, World } from '../../kind.ts';
import {
  checkAddress,
  checkPort,
  checkUnixPath,
  checkWildcardHost,
  unixPath,
} from '../common/checks.ts';
import { byCodeUnit, canonicalHost, isAddress, isDnsLabel } from '../common/hosts.ts';
import { isHttp, isTls, parseProtocol } from '../common/protocol.ts';
import { absentCredentials, credentialsOfServers } from './absent-credentials.ts';
import type { CheckContext } from './decode.ts';
import { apiVersions, istioDecoder } from './decode.ts';
import { checkServerTls } from './tls-check.ts';
import { serverTls } from './tls.ts';

const blankGateway = GatewayModel.create();
const blankListener = GatewayListener.create();

export const gatewayKind: Kind<Gateway> = {
  apiVersions,
  kind: 'Gateway',
  namespaced: true,
  decode: istioDecoder({
    typeName: 'istio.networking.v1alpha3.Gateway',
    codec: Gateway,
    check,
  }),
  emit,
};

function check(spec: Gateway, at: At, { name, object }: CheckContext): void {
  if (!isDnsLabel(name)) {
    object.field('metadata').field('name').error(name, 'must be a DNS label: routes name it');
  }
  if (spec.servers.length === 0) at.field('servers').error(undefined, 'must have one server');
  const names = new Set<string>();
  for (const [index, server] of spec.servers.entries()) {
    const item = at.field('servers').item(index);
    checkServer(server, item);
    const port = server.port?.name ?? '';
    if (port === '') continue;
    if (names.has(port)) item.field('port').field('name').error(port, 'is the name of two ports');
    names.add(port);
  }
}

function checkServer(server: Server, at: At): void {
  if (server.hosts.length === 0) at.field('hosts').error(undefined, 'must have one host');
  for (const [index, host] of server.hosts.entries()) {
    checkHost(host, at.field('hosts').item(index));
  }
  checkBind(server, at);
  if (server.defaultEndpoint !== '') {
    at.field('defaultEndpoint').warn(server.defaultEndpoint, 'is not supported and has no effect');
  }
  checkServerTls(server.tls, at.field('tls'));
  if (server.port === undefined) at.field('port').error(undefined, 'is required');
  else {
    checkServerPort(server.port, at.field('port'), server.bind);
    const protocol = parseProtocol(server.port.protocol);
    checkTlsOfProtocol(server, protocol, at);
    if (protocol !== undefined) checkRouted(server, protocol, at);
  }
}

/** Only HTTP is routed, and the translator leaves out the rest. */
function checkRouted({ port, tls }: Server, protocol: Protocol, at: At): void {
  const reason = 'is not supported: only HTTP is routed, and the server is left out';
  if (protocol === Protocol.PROTOCOL_HTTPS) {
    const { PASSTHROUGH, AUTO_PASSTHROUGH } = ServerTLSSettings_TLSmode;
    if (tls?.mode !== PASSTHROUGH && tls?.mode !== AUTO_PASSTHROUGH) return;
    at.field('tls').field('mode').warn(serverTLSSettings_TLSmodeToJSON(tls.mode), reason);
  } else if (!isHttp(protocol) || protocol === Protocol.PROTOCOL_HTTP_PROXY) {
    at.field('port').field('protocol').warn(port?.protocol, reason);
  }
}

/** `host`, or `namespace/host` with `.` and `*` for the namespace. */
function checkHost(host: string, at: At): void {
  const slash = host.indexOf('/');
  const name = host.slice(slash + 1);
  if (slash >= 0) {
    const namespace = host.slice(0, slash);
    if (namespace !== '*' && namespace !== '.' && !isDnsLabel(namespace)) {
      at.error(host, 'must start with ".", "*" or the name of a namespace, before "/"');
    }
  }
  if (isAddress(name)) return;
  if (name !== '*' && !name.includes('.')) at.error(host, 'must be a full name: it has no dot');
  else if (name.includes('*') && name !== '*' && !name.startsWith('*.')) {
    at.error(host, 'must have its wildcard as a whole label, as *.example.com');
  } else checkWildcardHost(at, name);
}

function checkBind({ bind, port }: Server, at: At): void {
  const path = unixPath(bind);
  if (path !== undefined) {
    checkUnixPath(at.field('bind'), path);
    if ((port?.number ?? 0) !== 0) {
      at.field('port').field('number').error(port?.number, 'must be 0 where bind is a unix socket');
    }
  } else if (bind !== '') checkAddress(at.field('bind'), bind);
}

function checkServerPort(port: Port, at: At, bind: string): void {
  if (parseProtocol(port.protocol) === undefined) {
    at.field('protocol').error(
      port.protocol,
      'must be HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TLS or TCP',
    );
  }
  if (port.number > 0 || unixPath(bind) === undefined) checkPort(at.field('number'), port.number);
  if (port.name === '') at.field('name').error('', 'is required');
  if (port.targetPort > 0) {
    at.field('targetPort').error(
      port.targetPort,
      'must not be set: it has no meaning in a gateway',
    );
  }
}

function checkTlsOfProtocol(server: Server, protocol: Protocol | undefined, at: At): void {
  const { tls } = server;
  if (protocol === undefined) return;
  if (tls === undefined) {
    if (isTls(protocol)) at.field('tls').error(undefined, 'is required for HTTPS and TLS');
    return;
  }
  if (isTls(protocol)) return;
  // A redirect to HTTPS is all that TLS settings can say of a plain HTTP port.
  const redirectOnly =
    isHttp(protocol) &&
    tls.mode === ServerTLSSettings_TLSmode.PASSTHROUGH &&
    tls.serverCertificate + tls.privateKey + tls.caCertificates === '';
  if (!redirectOnly) at.field('tls').error(tls, 'must not be set for ports without TLS');
}

function emit(read: Reader, world: World, object: SourceObject<Gateway>): Emission {
  const { spec, ref } = object;
  const { namespace, name } = ref;
  const gateway: GatewayModel = {
    ...blankGateway,
    selector: spec.selector,
    listeners: spec.servers.map((server) => listener(server, namespace)),
    createdMs: object.createdMs,
  };
  const key = configKey({ cluster: world.settings.cluster, kind: 'gateway', namespace, name });
  const event = { object: { $case: 'gateway' as const, value: gateway } };
  const problems = absentCredentials(read, world, credentialsOfServers(spec));
  return { events: [{ topic: 'config', key, event }], problems };
}

function listener(server: Server, namespace: string): GatewayListener {
  const hosts = new Map(server.hosts.map((host) => gatewayHost(host, namespace)));
  return {
    ...blankListener,
    name: server.port?.name ?? '',
    port: server.port?.number ?? 0,
    protocol: parseProtocol(server.port?.protocol ?? '') ?? Protocol.PROTOCOL_TCP,
    bind: server.bind,
    hosts: [...hosts].sort(([a], [b]) => byCodeUnit(a, b)).map(([, host]) => host),
    tls: serverTls(server.tls),
  };
}

/** Whether a host of its servers is for routes of that namespace alone. */
export function isForNamespace(gateway: SourceObject<Gateway>, namespace: string): boolean {
  const { spec, ref } = gateway;
  const hosts = spec.servers.flatMap((server) => server.hosts);
  return hosts.some((host) => gatewayHost(host, ref.namespace)[1].namespace === namespace);
}

/** With its key, for order and against duplicates. */
export function gatewayHost(text: string, own: string): readonly [string, GatewayHost] {
  const slash = text.indexOf('/');
  const given = slash < 0 ? '*' : text.slice(0, slash);
  const namespace = given === '.' ? own : given;
  const host = canonicalHost(text.slice(slash + 1));
  return [`${namespace}/${host}`, { namespace, host }];
}
