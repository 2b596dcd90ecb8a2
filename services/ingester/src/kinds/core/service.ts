/** Kubernetes Services: one host each. */
import type { Reader } from '@watershed/derive/graph.ts';
import {
  IpFamilies,
  Origin,
  Resolution,
  Service,
  ServicePort,
} from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import type { Emission, Kind, SourceObject, World } from '../../kind.ts';
import { distributionOf } from '../common/distribution.ts';
import { exportedTo } from '../common/export-to.ts';
import { canonicalHost, serviceHost } from '../common/hosts.ts';
import { portProtocol } from './port-protocol.ts';
import { decodeService, type ServicePortSpec, type ServiceSpec } from './service-spec.ts';

const blankService = Service.create();
const blankPort = ServicePort.create();

/** Labels that generators read; another label changes nothing downstream. */
const readLabels = ['istio.io/persistent-session'];

/** By the number of each port. */
export const servicePortIndex = 'port';

export const serviceKind: Kind<ServiceSpec> = {
  apiVersions: ['v1'],
  kind: 'Service',
  namespaced: true,
  indexes: { [servicePortIndex]: ({ spec }) => spec.ports.map(({ port }) => String(port)) },
  decode: decodeService,
  emit,
};

function emit(read: Reader, world: World, object: SourceObject<ServiceSpec>): Emission {
  const { spec, ref } = object;
  const { cluster, domain } = world.settings;
  const { namespace, name } = ref;
  const isExternal = spec.externalName !== '';
  const value: Service = {
    ...blankService,
    host: serviceHost(name, namespace, domain),
    namespace,
    name,
    origin: Origin.ORIGIN_KUBERNETES,
    ports: spec.ports.map(portOf).sort((a, b) => a.number - b.number || a.protocol - b.protocol),
    resolution: isExternal ? Resolution.RESOLUTION_DNS : Resolution.RESOLUTION_STATIC,
    addresses: isExternal ? [] : [...spec.clusterIps],
    headless: spec.headless && !isExternal,
    exportTo: exportedTo(read, world, { given: spec.exportTo, of: 'service', namespace }),
    selector: isExternal ? {} : { ...spec.selector },
    externalName: canonicalHost(spec.externalName),
    createdMs: object.createdMs,
    publishNotReady: spec.publishNotReady,
    localOnly: spec.localOnly,
    distribution: distributionOf(spec.trafficDistribution, object.annotations),
    ipFamilies: ipFamiliesOf(spec.ipFamilies),
    labels: Object.fromEntries(
      readLabels.flatMap((label) => {
        const text = object.labels[label];
        return text === undefined ? [] : [[label, text] as const];
      }),
    ),
  };
  const key = configKey({ cluster, kind: 'service', namespace, name });
  const event = { object: { $case: 'service', value } } as const;
  return { events: [{ topic: 'config', key, event }], problems: [] };
}

function ipFamiliesOf([first, second]: ServiceSpec['ipFamilies']): IpFamilies {
  if (first === undefined) return IpFamilies.IP_FAMILIES_AUTOMATIC;
  if (second !== undefined) return IpFamilies.IP_FAMILIES_DUAL;
  return first === 'IPv4' ? IpFamilies.IP_FAMILIES_V4 : IpFamilies.IP_FAMILIES_V6;
}

function portOf(port: ServicePortSpec): ServicePort {
  const { targetPort } = port;
  return {
    ...blankPort,
    number: port.port,
    name: port.name,
    protocol: portProtocol(port),
    targetPort: typeof targetPort === 'number' && targetPort !== port.port ? targetPort : 0,
    targetPortName: typeof targetPort === 'string' ? targetPort : '',
  };
}
