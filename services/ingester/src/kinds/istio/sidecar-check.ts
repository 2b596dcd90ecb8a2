/** istiod's ValidateSidecar. */
import { CaptureMode } from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import type {
  IstioEgressListener,
  IstioIngressListener,
  OutboundTrafficPolicy,
  Sidecar,
  SidecarPort,
} from '@watershed/proto/istio/networking/v1alpha3/sidecar.ts';
import {
  ServerTLSSettings_TLSmode,
  serverTLSSettings_TLSmodeToJSON,
} from '@watershed/proto/istio/networking/v1alpha3/gateway.ts';
import type { At } from '../../decode.ts';
import {
  checkAddress,
  checkDnsLabel,
  checkPort,
  checkUnixPath,
  checkWildcardHost,
  checkWorkloadLabels,
  unixPath,
} from '../common/checks.ts';
import { isDnsLabel, splitHostPort } from '../common/hosts.ts';
import { isTls, parseProtocol } from '../common/protocol.ts';
import { checkServerTls } from './tls-check.ts';
import { checkConnectionPool } from './traffic-policy-check.ts';

const ownAddresses = new Set(['', '127.0.0.1', '0.0.0.0', '::1', '::']);

export function checkSidecar(spec: Sidecar, at: At): void {
  if (spec.workloadSelector !== undefined) {
    const labels = at.field('workloadSelector').field('labels');
    checkWorkloadLabels(labels, spec.workloadSelector.labels, 'every workload of the namespace');
  }
  const { outboundTrafficPolicy, inboundConnectionPool } = spec;
  const settings = [outboundTrafficPolicy, inboundConnectionPool];
  if (
    spec.egress.length + spec.ingress.length === 0 &&
    settings.every((value) => value === undefined)
  ) {
    at.error(spec, 'must not be empty');
  }
  checkConnectionPool(inboundConnectionPool, at.field('inboundConnectionPool'));
  checkIngress(spec.ingress, at.field('ingress'));
  checkEgress(spec.egress, at.field('egress'));
  checkOutbound(outboundTrafficPolicy, at.field('outboundTrafficPolicy'));
}

function checkOutbound(policy: OutboundTrafficPolicy | undefined, at: At): void {
  if (policy?.egressProxy === undefined) return;
  at.field('egressProxy').error(
    policy.egressProxy,
    'is not supported: connections would go past the egress proxy',
  );
}

function checkSidecarPort(port: SidecarPort, at: At): void {
  if (port.name !== '') checkDnsLabel(at.field('name'), port.name);
  if (port.protocol !== '' && parseProtocol(port.protocol) === undefined) {
    at.field('protocol').error(port.protocol, 'is no protocol of Istio');
  }
  if (port.targetPort > 0) {
    at.field('targetPort').error(
      port.targetPort,
      'must not be set: it has no meaning in a Sidecar',
    );
  }
}

function checkIngress(listeners: readonly IstioIngressListener[], at: At): void {
  const seen = new Set<number>();
  for (const [index, listener] of listeners.entries()) {
    const item = at.item(index);
    const { port } = listener;
    if (port === undefined) {
      item.field('port').error(undefined, 'is required');
      continue;
    }
    checkSidecarPort(port, item.field('port'));
    checkPort(item.field('port').field('number'), port.number);
    if (seen.has(port.number)) item.field('port').field('number').error(port.number, 'is taken');
    seen.add(port.number);
    if (listener.bind !== '') checkAddress(item.field('bind'), listener.bind);
    if (listener.defaultEndpoint !== '') {
      checkDefaultEndpoint(listener.defaultEndpoint, item.field('defaultEndpoint'));
    }
    checkIngressTls(listener, port, item.field('tls'));
    if (listener.connectionPool !== undefined) {
      item
        .field('connectionPool')
        .warn(
          listener.connectionPool,
          'is not supported and has no effect; use inboundConnectionPool',
        );
    }
  }
}

/** Where the application listens: a port of the workload itself, or a socket. */
function checkDefaultEndpoint(endpoint: string, at: At): void {
  const path = unixPath(endpoint);
  if (path !== undefined) {
    checkUnixPath(at, path);
    return;
  }
  const parts = splitHostPort(endpoint);
  const port = Number(parts?.port ?? Number.NaN);
  if (parts === undefined || !ownAddresses.has(parts.host) || !/^[0-9]+$/u.test(parts.port)) {
    at.error(
      endpoint,
      'must be 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///PATH',
    );
  } else checkPort(at, port);
}

function checkIngressTls({ tls }: IstioIngressListener, port: SidecarPort, at: At): void {
  if (tls === undefined) return;
  const unsupported = {
    subjectAltNames: tls.subjectAltNames.length > 0,
    httpsRedirect: tls.httpsRedirect,
    credentialName: tls.credentialName !== '',
    credentialNames: tls.credentialNames.length > 0,
    tlsCertificates: tls.tlsCertificates.length > 0,
  };
  for (const [field, set] of Object.entries(unsupported)) {
    if (set) at.field(field).error(undefined, 'must not be set in a Sidecar');
  }
  const { ISTIO_MUTUAL, AUTO_PASSTHROUGH } = ServerTLSSettings_TLSmode;
  if (tls.mode === ISTIO_MUTUAL || tls.mode === AUTO_PASSTHROUGH) {
    const mode = serverTLSSettings_TLSmodeToJSON(tls.mode);
    at.field('mode').error(mode, 'must be SIMPLE, MUTUAL or OPTIONAL_MUTUAL in a Sidecar');
  }
  if (!isTls(parseProtocol(port.protocol))) {
    at.error(tls, 'must not be set for a port whose protocol is not HTTPS or TLS');
  }
  checkServerTls(tls, at);
}

function checkEgress(listeners: readonly IstioEgressListener[], at: At): void {
  const taken = new Set<string>();
  for (const [index, listener] of listeners.entries()) {
    const item = at.item(index);
    checkEgressHosts(listener, item.field('hosts'));
    if (listener.port === undefined) {
      if (index < listeners.length - 1) {
        item.field('port').error(undefined, 'is required in all listeners but the last');
      }
      continue;
    }
    checkEgressPort(listener, listener.port, item);
    const place = listener.port.number === 0 ? listener.bind : String(listener.port.number);
    if (taken.has(place)) item.field('port').error(place, 'is taken by another egress listener');
    taken.add(place);
  }
}

function checkEgressPort(listener: IstioEgressListener, port: SidecarPort, at: At): void {
  checkSidecarPort(port, at.field('port'));
  if (port.number !== 0) {
    checkPort(at.field('port').field('number'), port.number);
    if (listener.bind !== '') checkAddress(at.field('bind'), listener.bind);
    return;
  }
  const path = unixPath(listener.bind);
  if (path === undefined) {
    at.field('bind').error(listener.bind, 'must be a unix socket where the port is 0');
  } else checkUnixPath(at.field('bind'), path);
  if (listener.captureMode === CaptureMode.IPTABLES) {
    at.field('captureMode').error('IPTABLES', 'must be DEFAULT or NONE for a unix socket');
  }
}

function checkEgressHosts(listener: IstioEgressListener, at: At): void {
  if (listener.hosts.length === 0) at.error(undefined, 'must have one host');
  const seen = new Set<string>();
  for (const [index, host] of listener.hosts.entries()) {
    const item = at.item(index);
    checkEgressHost(host, item);
    if (seen.has(host)) item.warn(host, 'is listed twice');
    seen.add(host);
  }
  if (seen.has('*/*') && seen.size > 1) at.warn('*/*', 'is everything: other hosts add nothing');
}

function checkEgressHost(host: string, at: At): void {
  const slash = host.indexOf('/');
  const namespace = host.slice(0, slash);
  const name = host.slice(slash + 1);
  if (slash < 0) {
    at.error(host, 'must be namespace/host, as ./*, */* or shop/*.example.com');
    return;
  }
  if (namespace.startsWith('~') && namespace !== '~') {
    at.error(host, 'excludes hosts, which is not supported');
  } else if (
    namespace !== '*' &&
    namespace !== '.' &&
    namespace !== '~' &&
    !isDnsLabel(namespace)
  ) {
    at.error(host, 'must start with ".", "*", "~" or the name of a namespace, before "/"');
  }
  if (name !== '*' && !name.includes('.')) at.error(host, 'must be a full name: it has no dot');
  else if (name.includes('*') && name !== '*' && !name.startsWith('*.')) {
    at.error(host, 'must have its wildcard as a whole label, as *.example.com');
  } else checkWildcardHost(at, name);
}
