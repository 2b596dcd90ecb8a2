import {
  bool,
  decode,
  defaulted,
  int,
  isObject,
  list,
  object,
  optional,
  text,
} from '../../decode.ts';
import type { Decoded, Kind, RawObject } from '../../kind.ts';

/** What endpoints read of a Pod, besides its labels. */
export interface PodSpec {
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** All addresses, the primary one first; empty until the Pod has one. */
  readonly addresses: readonly string[];
  readonly ready: boolean;
  /** It will not run again, or is being deleted. */
  readonly ended: boolean;
  readonly deleting: boolean;
  readonly hostNetwork: boolean;
  /** Of containers, TCP, by name. */
  readonly ports: Readonly<Record<string, number>>;
  /** The name of what made it: its Deployment, say; its own without one. */
  readonly workloadName: string;
}

const condition = object({ type: defaulted(text(), ''), status: defaulted(text(), '') }, '*');

const container = object(
  {
    ports: defaulted(
      list(
        object(
          {
            name: defaulted(text(), ''),
            containerPort: defaulted(int(0, 65_535), 0),
            protocol: defaulted(text(), 'TCP'),
          },
          '*',
        ),
      ),
      [],
    ),
  },
  '*',
);

const owner = object(
  { kind: defaulted(text(), ''), name: defaulted(text(), ''), controller: defaulted(bool, false) },
  '*',
);

const noMetadata = { generateName: '', deletionTimestamp: '', ownerReferences: [] };

const podDecoder = object(
  {
    metadata: defaulted(
      object(
        {
          generateName: defaulted(text(), ''),
          deletionTimestamp: defaulted(text(), ''),
          ownerReferences: defaulted(list(owner), []),
        },
        '*',
      ),
      noMetadata,
    ),
    spec: defaulted(
      object(
        {
          nodeName: defaulted(text(), ''),
          serviceAccountName: defaulted(text(), ''),
          serviceAccount: defaulted(text(), ''),
          hostNetwork: defaulted(bool, false),
          containers: defaulted(list(container), []),
        },
        '*',
      ),
      {
        nodeName: '',
        serviceAccountName: '',
        serviceAccount: '',
        hostNetwork: false,
        containers: [],
      },
    ),
    status: optional(
      object(
        {
          phase: defaulted(text(), ''),
          podIP: defaulted(text(), ''),
          podIPs: defaulted(list(object({ ip: defaulted(text(), '') }, '*')), []),
          conditions: defaulted(list(condition), []),
        },
        '*',
      ),
    ),
  },
  '*',
);

/** Pods by each of their addresses. */
export const addressIndex = 'address';

export const podKind: Kind<PodSpec> = {
  apiVersions: ['v1'],
  kind: 'Pod',
  namespaced: true,
  readsStatus: true,
  partRead,
  indexes: { [addressIndex]: ({ spec }) => spec.addresses },
  decode: decodePod,
  emit: () => ({ events: [], problems: [] }),
};

/**
 * Without what its containers are started with (passwords among it, now and then), and without the
 * times in its status, which change all the time.
 */
function partRead(raw: RawObject): RawObject {
  const { spec, status } = raw;
  if (!isObject(spec)) return raw;
  const { nodeName, serviceAccountName, serviceAccount, hostNetwork } = spec;
  const listed: readonly unknown[] = Array.isArray(spec['containers']) ? spec['containers'] : [];
  const containers = listed.map((one) => ({ ports: isObject(one) ? one['ports'] : undefined }));
  return {
    ...raw,
    spec: { nodeName, serviceAccountName, serviceAccount, hostNetwork, containers },
    status: isObject(status) ? statusRead(status) : undefined,
  };
}

function statusRead({
  phase,
  podIP,
  podIPs,
  conditions,
}: Readonly<Record<string, unknown>>): object {
  const listed: readonly unknown[] = Array.isArray(conditions) ? conditions : [];
  const known = listed.filter(isObject).map(({ type, status }) => ({ type, status }));
  return { phase, podIP, podIPs, conditions: known.filter(({ type }) => type === 'Ready') };
}

function decodePod(raw: RawObject): Decoded<PodSpec> {
  const { spec: pod, problems } = decode(podDecoder, raw, { path: '' });
  if (pod === undefined) return { problems };
  const { nodeName, serviceAccountName, serviceAccount } = pod.spec;
  const addresses = [pod.status?.podIP ?? '', ...(pod.status?.podIPs ?? []).map(({ ip }) => ip)];
  const spec = {
    nodeName,
    serviceAccount: serviceAccountName || serviceAccount || 'default',
    addresses: [...new Set(addresses.filter((address) => address !== ''))],
    ready: (pod.status?.conditions ?? []).some(
      ({ type, status }) => type === 'Ready' && status === 'True',
    ),
    ended: ['Succeeded', 'Failed'].includes(pod.status?.phase ?? ''),
    deleting: pod.metadata.deletionTimestamp !== '',
    hostNetwork: pod.spec.hostNetwork,
    ports: containerPorts(pod.spec.containers),
    workloadName: workloadName(raw, pod.metadata),
  };
  return { spec, problems };
}

interface PodMetadata {
  readonly generateName: string;
  readonly ownerReferences: readonly { kind: string; name: string; controller: boolean }[];
}

type Containers = readonly {
  readonly ports: readonly { name: string; containerPort: number; protocol: string }[];
}[];

/** The first of a name, as in istiod. */
function containerPorts(containers: Containers): Readonly<Record<string, number>> {
  const ports = containers
    .flatMap((one) => one.ports)
    .filter(({ name, protocol }) => name !== '' && protocol === 'TCP')
    .map(({ name, containerPort }) => [name, containerPort] as const);
  return Object.fromEntries(ports.reverse());
}

const workloadLabel = 'service.istio.io/workload-name';
/** Of a ReplicaSet's name, the part that its Deployment (or Rollout) did not give. */
const hashLabels = ['pod-template-hash', 'rollouts-pod-template-hash'];
const cronJob = /^(?<name>.+)-\d{8,10}$/u;

/** As istiod tells it: from the controller of a Pod whose name was generated. */
function workloadName(raw: RawObject, metadata: PodMetadata): string {
  const labels = isObject(raw.metadata['labels']) ? raw.metadata['labels'] : {};
  const label = (name: string): string => {
    const value = Object.hasOwn(labels, name) ? labels[name] : undefined;
    return typeof value === 'string' ? value : '';
  };
  const said = label(workloadLabel);
  if (said !== '') return said;
  const own = typeof raw.metadata['name'] === 'string' ? raw.metadata['name'] : '';
  const controller = metadata.ownerReferences.find((reference) => reference.controller);
  if (metadata.generateName === '' || controller === undefined) return own;
  const { kind, name } = controller;
  if (kind === 'Job') return cronJob.exec(name)?.groups?.['name'] ?? name;
  if (kind !== 'ReplicaSet') return name;
  const hash = hashLabels.map(label).find((value) => value !== '' && name.endsWith(`-${value}`));
  return hash === undefined ? name : name.slice(0, -hash.length - 1);
}
