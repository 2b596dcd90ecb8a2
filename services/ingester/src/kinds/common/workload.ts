/**
 * Workloads: what proxies of nodes (ztunnel) are told of each instance of what runs, as istiod's
 * ambient index makes it. Only where the source's settings ask for them.
 */
import { Tunnel, Workload, WorkloadService } from '@watershed/model/gen/model.ts';
import type { WorkloadPort } from '@watershed/model/gen/model.ts';
import { endpointsKey } from '@watershed/model/keys.ts';
import type { Emitted, World } from '../../kind.ts';
import { byCodeUnit } from './hosts.ts';
import type { Labels } from './labels.ts';

const blankWorkload = Workload.create();
const blankService = WorkloadService.create();

const networkLabel = 'topology.istio.io/network';

/** One record; `uid`: what follows the cluster in the workload's. */
export function workloadEvent(
  world: World,
  uid: string,
  workload: Partial<Workload> & Pick<Workload, 'name' | 'namespace'>,
): Emitted {
  const { cluster } = world.settings;
  const value: Workload = {
    ...blankWorkload,
    ...workload,
    uid: `${cluster}/${uid}`,
    services: [...(workload.services ?? [])].sort(
      (a, b) => byCodeUnit(a.namespace, b.namespace) || byCodeUnit(a.host, b.host),
    ),
  };
  const { namespace, name } = workload;
  return {
    topic: 'endpoints',
    key: endpointsKey({ host: value.uid, cluster, kind: 'instance', namespace, name }),
    event: { object: { $case: 'workload', value } },
  };
}

/** A port of a service, as far as its number is concerned. */
interface ServedPort {
  readonly name: string;
  readonly number: number;
}

/** A service behind which a workload stands; `targets`: its ports' targets, by the ports' names. */
export function workloadService(
  namespace: string,
  host: string,
  ports: readonly ServedPort[],
  targets: Readonly<Record<string, number>>,
): WorkloadService {
  const served = ports.flatMap(({ name, number }): WorkloadPort[] => {
    const targetPort = Object.hasOwn(targets, name) ? targets[name] : undefined;
    return targetPort === undefined ? [] : [{ servicePort: number, targetPort }];
  });
  return {
    ...blankService,
    namespace,
    host,
    ports: served.sort((a, b) => a.servicePort - b.servicePort),
  };
}

const canonicalNameLabels = ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app'];
const canonicalRevisionLabels = [
  'service.istio.io/canonical-revision',
  'app.kubernetes.io/version',
  'version',
];

/** What labels and annotations say of a workload. */
export function describeWorkload(
  labels: Labels,
  annotations: Labels,
  workloadName: string,
): Pick<
  Workload,
  'workloadName' | 'canonicalName' | 'canonicalRevision' | 'tunnel' | 'labels' | 'network'
> {
  const first = (names: readonly string[]): string | undefined =>
    names.map((name) => labels[name]).find((value) => value !== undefined);
  return {
    workloadName,
    canonicalName: first(canonicalNameLabels) ?? workloadName,
    canonicalRevision: first(canonicalRevisionLabels) ?? 'latest',
    tunnel: tunnelOf(labels, annotations),
    labels,
    network: labels[networkLabel] ?? '',
  };
}

/** The CNI's annotation says that the node's proxy serves it; a label, that it does so itself. */
function tunnelOf(labels: Labels, annotations: Labels): Tunnel {
  const own = (labels['networking.istio.io/tunnel'] ?? '').split(',');
  if (own.includes('http')) return Tunnel.TUNNEL_NATIVE_HBONE;
  return annotations['ambient.istio.io/redirection'] === 'enabled'
    ? Tunnel.TUNNEL_HBONE
    : Tunnel.TUNNEL_NONE;
}
