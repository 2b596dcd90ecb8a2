import { decode, defaulted, list, object, optional, text } from '../../decode.ts';
import type { Decoded, Kind, RawObject } from '../../kind.ts';

/** What endpoints read of a Pod, besides its labels. */
export interface PodSpec {
  readonly nodeName: string;
  readonly serviceAccount: string;
  /** All addresses, the primary one first; empty until the Pod has one. */
  readonly addresses: readonly string[];
  readonly ready: boolean;
}

const condition = object({ type: defaulted(text(), ''), status: defaulted(text(), '') }, '*');

const podDecoder = object(
  {
    spec: defaulted(
      object(
        {
          nodeName: defaulted(text(), ''),
          serviceAccountName: defaulted(text(), ''),
          serviceAccount: defaulted(text(), ''),
        },
        '*',
      ),
      { nodeName: '', serviceAccountName: '', serviceAccount: '' },
    ),
    status: optional(
      object(
        {
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

export const podKind: Kind<PodSpec> = {
  apiVersions: ['v1'],
  kind: 'Pod',
  namespaced: true,
  readsStatus: true,
  indexes: { address: ({ spec }) => spec.addresses },
  decode: decodePod,
  emit: () => ({ events: [], problems: [] }),
};

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
  };
  return { spec, problems };
}
