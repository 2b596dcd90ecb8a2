/** istiod's ValidateServiceEntry and validateWorkloadEntry. */
import { Protocol } from '@watershed/model/gen/model.ts';
import { ServiceEntry_Resolution } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { ServiceEntry } from '@watershed/proto/istio/networking/v1alpha3/service_entry.ts';
import type { WorkloadEntry } from '@watershed/proto/istio/networking/v1alpha3/workload_entry.ts';
import type { At } from '../../decode.ts';
import {
  checkDnsLabel,
  checkExportTo,
  checkHost,
  checkLabels,
  checkPort,
  checkSubnet,
  checkUnixPath,
  checkWildcardHost,
  checkWorkloadLabels,
  unixPath,
} from '../common/checks.ts';
import { canonicalHost, isAddress, nameProblem } from '../common/hosts.ts';
import { isHttp, isTls, parseProtocol } from '../common/protocol.ts';
import type { CheckContext } from './decode.ts';
import { maxWeight } from './endpoints.ts';

const resolutions = ServiceEntry_Resolution;

export function isDns(resolution: ServiceEntry_Resolution): boolean {
  return resolution === resolutions.DNS || resolution === resolutions.DNS_ROUND_ROBIN;
}

export function checkServiceEntry(spec: ServiceEntry, at: At, { namespace }: CheckContext): void {
  checkHosts(spec, at.field('hosts'));
  checkPorts(spec, at.field('ports'));
  for (const [index, address] of spec.addresses.entries()) {
    const item = at.field('addresses').item(index);
    checkSubnet(item, address);
    if (address.includes('/') && isDns(spec.resolution)) {
      item.error(address, 'must not be a CIDR block where the resolution is DNS');
    }
  }
  if (spec.workloadSelector !== undefined) {
    const field = at.field('workloadSelector');
    checkWorkloadLabels(
      field.field('labels'),
      spec.workloadSelector.labels,
      'every workload of the namespace',
    );
    if (spec.endpoints.length > 0) field.error({}, 'must not be set beside endpoints');
  }
  checkResolution(spec, at);
  checkExportTo(at.field('exportTo'), spec.exportTo, { namespace, nobody: true });
}

function checkHosts(spec: ServiceEntry, at: At): void {
  if (spec.hosts.length === 0) at.error(undefined, 'must have one host');
  const seen = new Set<string>();
  for (const [index, host] of spec.hosts.entries()) {
    const item = at.item(index);
    if (host === '*') item.error(host, 'must not be "*"');
    else checkWildcardHost(item, host);
    if (host.includes('*') && !host.startsWith('*.')) {
      item.warn(host, 'has its wildcard within a label, which matches no name');
    }
    const canonical = canonicalHost(host);
    if (seen.has(canonical)) item.error(host, 'is listed twice');
    seen.add(canonical);
  }
}

function checkPorts(spec: ServiceEntry, at: At): void {
  if (spec.ports.length === 0) at.warn(undefined, 'is empty: nothing of the hosts is served');
  const names = new Set<string>();
  const numbers = new Set<number>();
  const lists = spec.hosts.length > 1 && spec.resolution !== resolutions.NONE;
  for (const [index, port] of spec.ports.entries()) {
    const item = at.item(index);
    checkDnsLabel(item.field('name'), port.name);
    if (names.has(port.name)) item.field('name').error(port.name, 'is the name of two ports');
    names.add(port.name);
    checkPort(item.field('number'), port.number);
    if (numbers.has(port.number)) item.field('number').error(port.number, 'is listed twice');
    numbers.add(port.number);
    if (port.targetPort !== 0) checkPort(item.field('targetPort'), port.targetPort);
    const protocol = parseProtocol(port.protocol);
    if (port.protocol !== '' && protocol === undefined) {
      item.field('protocol').error(port.protocol, 'is no protocol of Istio');
    }
    if (lists && !isHttp(protocol) && !isTls(protocol)) {
      item
        .field('protocol')
        .error(
          port.protocol,
          'must be HTTP or TLS where there are several hosts: nothing else tells them apart',
        );
    }
    const opaque = port.protocol === '' || protocol === Protocol.PROTOCOL_TCP;
    if (opaque && spec.addresses.length === 0) {
      item.field('protocol').warn(port.protocol, 'needs addresses: connections have no host name');
    }
  }
}

function checkResolution(spec: ServiceEntry, at: At): void {
  const { resolution, endpoints } = spec;
  const field = at.field('endpoints');
  if (resolution === resolutions.DYNAMIC_DNS) {
    at.field('resolution').error('DYNAMIC_DNS', 'is not supported');
  }
  if (resolution === resolutions.NONE) {
    if (endpoints.length > 0) {
      field.error(endpoints, 'must not be set where the resolution is NONE');
    }
    if (spec.workloadSelector !== undefined) {
      at.field('workloadSelector').warn({}, 'has no effect where the resolution is NONE');
    }
  }
  if (resolution === resolutions.DNS_ROUND_ROBIN && endpoints.length > 1) {
    field.error(endpoints, 'must be one at most where the resolution is DNS_ROUND_ROBIN');
  }
  const isSelective = spec.workloadSelector !== undefined;
  if (resolution === resolutions.STATIC && endpoints.length === 0 && !isSelective) {
    field.warn(undefined, 'has none, and no workloadSelector is set: requests get 503');
  }
  const ports = new Set(spec.ports.map((port) => port.name));
  for (const [index, endpoint] of endpoints.entries()) {
    checkEndpoint(endpoint, field.item(index), { ports, names: isDns(resolution) });
  }
  // Without endpoints, the host itself is looked up.
  if (!isDns(resolution) || endpoints.length > 0 || isSelective) return;
  for (const [index, host] of spec.hosts.entries()) checkHost(at.field('hosts').item(index), host);
}

export interface EndpointRules {
  /** Names of the service's ports; undefined where the service is not known. */
  readonly ports: ReadonlySet<string> | undefined;
  /** Whether DNS names are addresses too. */
  readonly names: boolean;
}

export function checkEndpoint(endpoint: WorkloadEntry, at: At, rules: EndpointRules): void {
  checkEndpointAddress(endpoint, at, rules);
  for (const [name, port] of Object.entries(endpoint.ports)) {
    const item = at.field('ports').field(name);
    checkDnsLabel(item, name);
    checkPort(item, port);
    if (rules.ports !== undefined && !rules.ports.has(name)) {
      item.error(port, 'is of no port of the service');
    }
  }
  checkLabels(at.field('labels'), endpoint.labels);
  if (endpoint.weight > maxWeight) {
    at.field('weight').warn(endpoint.weight, `is taken as ${maxWeight}, which is the most`);
  }
}

function checkEndpointAddress(endpoint: WorkloadEntry, at: At, rules: EndpointRules): void {
  const { address, network } = endpoint;
  const field = at.field('address');
  const path = unixPath(address);
  if (address === '') {
    if (network === '') field.error('', 'is required');
    else {
      field.warn('', `is unset: endpoints behind gateways of network ${network} are not supported`);
    }
  } else if (path !== undefined) {
    checkUnixPath(field, path);
    if (Object.keys(endpoint.ports).length > 0) {
      at.field('ports').error(endpoint.ports, 'must not be set for a unix socket');
    }
    if (rules.ports !== undefined && rules.ports.size !== 1) {
      field.error(address, 'needs a service of exactly one port');
    }
  } else if (!isAddress(address)) {
    if (!rules.names) field.error(address, 'must be an IP address');
    else if (nameProblem(address) !== undefined) {
      field.error(address, 'must be an IP address or a DNS name');
    }
  }
}
