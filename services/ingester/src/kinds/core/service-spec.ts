/** The spec of a Kubernetes Service, as far as it is read. */
import {
  anything,
  bool,
  decode,
  defaulted,
  int,
  intOrText,
  invalid,
  isObject,
  isServed,
  list,
  map,
  object,
  oneOf,
  optional,
  refine,
  required,
  text,
  type At,
  type FieldsOf,
  type Invalid,
} from '../../decode.ts';
import type { Decoded, Problem, RawObject } from '../../kind.ts';
import { distributionProblem } from '../common/distribution.ts';
import { isAddress, isDnsLabel, nameProblem } from '../common/hosts.ts';
import { isLabelKey, isLabelValue } from '../common/labels.ts';

export interface ServiceSpec {
  readonly ports: readonly ServicePortSpec[];
  /** Virtual addresses, the primary one first. */
  readonly clusterIps: readonly string[];
  readonly headless: boolean;
  readonly selector: Readonly<Record<string, string>>;
  /** Empty unless the type is ExternalName. */
  readonly externalName: string;
  readonly publishNotReady: boolean;
  readonly localOnly: boolean;
  readonly ipFamilies: readonly ('IPv4' | 'IPv6')[];
  /** As Kubernetes says it, `PreferSameZone`; empty: the annotation's, or none. */
  readonly trafficDistribution: string;
  /** Of the annotation; empty: the mesh's default. */
  readonly exportTo: readonly string[];
}

/** Headless and ExternalName Services may list no ports: then any is meant. */
export function hasPort({ ports }: ServiceSpec, number: number): boolean {
  return ports.length === 0 || ports.some(({ port }) => port === number);
}

export interface ServicePortSpec {
  readonly name: string;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol: string | undefined;
  readonly targetPort: number | string | undefined;
}

const exportToAnnotation = 'networking.istio.io/exportTo';

const maxPort = 65_535;
const portName = text({
  max: 63,
  pattern: /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$|^$/u,
  reason: 'must be a DNS label in lower case',
});

const targetPort = refine(intOrText, (value, at) => {
  if (typeof value === 'number') {
    return value >= 1 && value <= maxPort ? value : at.error(value, `must be from 1 to ${maxPort}`);
  }
  const isName = value.length <= 15 && /^[a-z0-9-]*[a-z][a-z0-9-]*$/u.test(value);
  return isName ? value : at.error(value, 'must be a port, or the name of a container port');
});

const servicePort = object(
  {
    name: defaulted(portName, ''),
    port: required(int(1, maxPort)),
    protocol: defaulted(oneOf('TCP', 'UDP', 'SCTP'), 'TCP'),
    appProtocol: optional(text({ max: 253 })),
    targetPort: optional(targetPort),
  },
  ['nodePort'],
);

const clusterIp = text({ max: 64 });

const specFields = {
  type: defaulted(oneOf('ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'), 'ClusterIP'),
  ports: defaulted(refine(list(servicePort, { max: 1_000 }), checkPorts), []),
  clusterIP: defaulted(clusterIp, ''),
  clusterIPs: defaulted(list(clusterIp, { max: 2 }), []),
  selector: defaulted(refine(map(text()), checkSelector), {}),
  externalName: defaulted(text({ max: 253 }), ''),
  publishNotReadyAddresses: defaulted(bool, false),
  internalTrafficPolicy: defaulted(oneOf('Cluster', 'Local'), 'Cluster'),
  ipFamilies: defaulted(list(oneOf('IPv4', 'IPv6'), { max: 2 }), []),
  trafficDistribution: defaulted(refine(text({ max: 63 }), checkDistribution), ''),
  sessionAffinity: optional(refine(text({ max: 63 }), checkAffinity)),
};

/** Fields of Kubernetes 1.37 that nothing here reads. */
const dropped = [
  'allocateLoadBalancerNodePorts',
  'externalIPs',
  'externalTrafficPolicy',
  'healthCheckNodePort',
  'ipFamilyPolicy',
  'loadBalancerClass',
  'loadBalancerIP',
  'loadBalancerSourceRanges',
  'sessionAffinityConfig',
  'topologyKeys',
];

const serviceDecoder = object(
  {
    metadata: required(refine(anything, checkName)),
    spec: required(refine(object(specFields, dropped), checkSpec)),
  },
  ['apiVersion', 'kind', 'status'],
);

export function decodeService(raw: RawObject): Decoded<ServiceSpec> {
  const { spec: service, problems } = decode(serviceDecoder, raw, {
    path: '',
    unknownFields: isServed(raw) ? 'warning' : 'error',
  });
  const exported = exportToOf(raw);
  const all = [...problems, ...exported.problems];
  if (service === undefined || exported.spec === undefined) return { problems: all };
  const { spec } = service;
  const isExternal = spec.type === 'ExternalName';
  const given = [spec.clusterIP, ...spec.clusterIPs].filter((address) => address !== '');
  return {
    spec: {
      ports: spec.ports,
      clusterIps: [...new Set(given)].filter((address) => address !== 'None'),
      headless: given.includes('None'),
      selector: spec.selector,
      externalName: isExternal ? spec.externalName : '',
      publishNotReady: spec.publishNotReadyAddresses,
      localOnly: spec.internalTrafficPolicy === 'Local',
      ipFamilies: spec.ipFamilies,
      trafficDistribution: spec.trafficDistribution,
      exportTo: exported.spec,
    },
    problems: all,
  };
}

function checkName(metadata: unknown, at: At): unknown {
  const name = isObject(metadata) ? metadata['name'] : undefined;
  if (typeof name !== 'string' || isDnsLabel(name)) return metadata;
  return at.field('name').error(name, 'must be a DNS label of at most 63 characters');
}

function checkPorts(
  ports: readonly ServicePortSpec[],
  at: At,
): readonly ServicePortSpec[] | Invalid {
  const names = new Set<string>();
  const numbers = new Set<string>();
  let isValid = true;
  for (const [index, { name, port, protocol }] of ports.entries()) {
    const here = at.item(index);
    if (name === '' && ports.length > 1) {
      here.field('name').error(undefined, 'is required where there are several ports');
      isValid = false;
    } else if (names.has(name)) {
      here.field('name').error(name, 'is the name of another port too');
      isValid = false;
    }
    if (numbers.has(`${port}/${protocol}`)) {
      here.field('port').error(port, 'is written twice');
      isValid = false;
    }
    names.add(name);
    numbers.add(`${port}/${protocol}`);
  }
  return isValid ? ports : invalid;
}

/** Kubernetes may know more words by now. */
function checkDistribution(word: string, at: At): string {
  const reason = distributionProblem(word);
  if (reason !== undefined) at.warn(word, reason);
  return word;
}

function checkAffinity(affinity: string, at: At): string {
  const reason = 'has no effect on proxies: a DestinationRule can hash by the source IP';
  if (affinity !== '' && affinity !== 'None') at.warn(affinity, reason);
  return affinity;
}

function checkSelector(
  selector: Readonly<Record<string, string>>,
  at: At,
): Readonly<Record<string, string>> | Invalid {
  for (const [key, value] of Object.entries(selector)) {
    if (!isLabelKey(key)) return at.field(key).error(key, 'is no label key');
    if (!isLabelValue(value)) return at.field(key).error(value, 'is no label value');
  }
  return selector;
}

function checkSpec(
  spec: FieldsOf<typeof specFields>,
  at: At,
): FieldsOf<typeof specFields> | Invalid {
  if (spec.type === 'ExternalName') {
    if (isAddress(spec.externalName)) {
      at.field('externalName').warn(
        spec.externalName,
        'is an address where a DNS name is expected',
      );
      return spec;
    }
    const reason = nameProblem(spec.externalName.toLowerCase());
    return reason === undefined ? spec : at.field('externalName').error(spec.externalName, reason);
  }
  for (const address of [spec.clusterIP, ...spec.clusterIPs]) {
    if (address === '' || address === 'None' || isAddress(address)) continue;
    return at.field('clusterIP').error(address, 'must be an IP address, "None" or empty');
  }
  if (spec.ports.length === 0 && spec.clusterIP !== 'None') {
    return at.field('ports').error(undefined, 'is required, unless the Service is headless');
  }
  return spec;
}

/** `.` the own namespace, `*` all, `~` none, or namespaces by name; separated by commas. */
function exportToOf(raw: RawObject): Decoded<readonly string[]> {
  const annotations = raw.metadata['annotations'];
  const value = isObject(annotations) ? annotations[exportToAnnotation] : undefined;
  if (typeof value !== 'string') return { spec: [], problems: [] };
  const entries = value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const wrong = entries.find((entry) => !['.', '*', '~'].includes(entry) && !isDnsLabel(entry));
  if (wrong === undefined) return { spec: entries, problems: [] };
  const found: Problem = {
    severity: 'error',
    field: `metadata.annotations[${JSON.stringify(exportToAnnotation)}]`,
    value: JSON.stringify(wrong),
    reason: 'must be ".", "*", "~" or the name of a namespace',
  };
  return { problems: [found] };
}
