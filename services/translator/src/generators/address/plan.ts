/** Workloads and services as resources: `istio.workload.Address`. */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import { Origin } from '@watershed/model/gen/model.ts';
import type { Service, Workload } from '@watershed/model/gen/model.ts';
import { ProxyType } from '@watershed/model/gen/record.ts';
import { selectedBy } from '../../assembly/authentication.ts';
import type { Core } from '../../assembly/core.ts';
import { sameKeys } from '../../assembly/jobs.ts';
import type { NativeType } from '../../assembly/parts.ts';
import { buckets } from '../../inputs.ts';
import type { Keyed } from '../../inputs.ts';
import { job, type ResourceKey, type ResourcePlan } from '../../plan.ts';
import { ipBytes, ipText, prefixLength } from '../ip.ts';
import { serviceAddress, workloadAddress } from './generator.ts';

const typeUrl = 'type.googleapis.com/istio.workload.Address';

/** Workloads by their uid, services by `namespace/host`; both by `network/IP` too. */
export const addresses: NativeType = {
  typeUrl,
  proxies: [ProxyType.PROXY_TYPE_ZTUNNEL],
  plans(core) {
    const bucket = keysOf(core);
    const all = Array.from({ length: buckets }, (_, at) => String(at));
    return {
      keys: (read) => all.map((at) => read.query(bucket, at)),
      plan: (read, key) => workloadPlan(core, read, key) ?? servicePlan(core, read, key),
    };
  },
};

/** A change of one keeps all keys; a new one touches those of one bucket. */
function keysOf({ inputs }: Core): Query<string, readonly ResourceKey[]> {
  const { indexes } = inputs;
  return inputs.graph.query<string, readonly ResourceKey[]>({
    name: 'addressKeys',
    id: (at) => at,
    compute: (read, at) => {
      const workloads = read.lookup(indexes.workloadsByBucket, at);
      const services = read.lookup(indexes.servicesByBucket, at);
      const names = new Set([
        ...workloads.map(({ value }) => value.value.uid),
        ...services.map(({ value }) => serviceName(value.value)),
      ]);
      return [...names].sort().map((name) => ({ typeUrl, name, variant: '' }));
    },
    equal: sameKeys,
  });
}

function serviceName({ namespace, host }: Pick<Service, 'namespace' | 'host'>): string {
  return `${namespace}/${host}`;
}

function workloadPlan(core: Core, read: Reader, key: ResourceKey): ResourcePlan | undefined {
  const [found] = read.lookup(core.inputs.indexes.workloadsByUid, key.name);
  if (found === undefined) return undefined;
  const { cluster, value } = found.value;
  const { labels, ...workload } = value;
  const mesh = read.query(core.mesh.refOf, cluster);
  const trustDomain = read.query(core.mesh.trustDomain, mesh);
  const rootNamespace = read.query(core.mesh.rootNamespace, mesh);
  const part = job(workloadAddress, {
    cluster,
    trustDomain: trustDomain === 'cluster.local' ? '' : trustDomain,
    policies: selectedBy(core, read, { namespace: value.namespace, labels, rootNamespace }),
    workload,
  });
  return {
    ...common(key, [part]),
    aliases: aliasesOf(workload),
    groups: workload.services.map(serviceName),
  };
}

/** An address that others have as well does not find it. */
function aliasesOf(workload: Omit<Workload, 'labels'>): readonly string[] {
  if (workload.sharedAddress) return [];
  return workload.addresses.map((address) => `${workload.network}/${ipText(ipBytes(address))}`);
}

/** It moves with the configuration: a policy that it names comes in the same cut. */
function common(key: ResourceKey, parts: ResourcePlan['parts']): ResourcePlan {
  return { key, parts, refs: [], bypassesEpochs: false };
}

function servicePlan(core: Core, read: Reader, key: ResourceKey): ResourcePlan | undefined {
  const slash = key.name.indexOf('/');
  const namespace = key.name.slice(0, slash);
  const entries = read.lookup(core.inputs.indexes.servicesByHost, key.name.slice(slash + 1));
  const found = entries.map(({ value }) => value).filter((own) => own.namespace === namespace);
  const [first] = found.sort(byPrecedence);
  if (first === undefined) return undefined;
  const { value } = first;
  const virtual = new Set(found.flatMap((own) => own.value.addresses));
  const part = job(serviceAddress, {
    name: value.name,
    namespace,
    host: value.host,
    origin: value.origin,
    ports: value.ports.map(({ name: _name, ...port }) => port),
    resolution: value.resolution,
    subjectAltNames: value.subjectAltNames,
    publishNotReady: value.publishNotReady,
    localOnly: value.localOnly,
    distribution: value.distribution,
    ipFamilies: value.ipFamilies,
    addresses: [...virtual],
  });
  return { ...common(key, [part]), aliases: [...virtual].map(virtualAlias) };
}

/** Kubernetes' own before entries, the older one before the younger. */
function byPrecedence(a: Keyed<Service>, b: Keyed<Service>): number {
  const own = (one: Keyed<Service>): number =>
    one.value.origin === Origin.ORIGIN_KUBERNETES ? 0 : 1;
  return own(a) - own(b) || a.value.createdMs - b.value.createdMs || (a.key < b.key ? -1 : 1);
}

/** Services are on the network of the mesh, whose name is empty. */
function virtualAlias(address: string): string {
  const length = prefixLength(address);
  const text = `/${ipText(ipBytes(address))}`;
  return length === undefined ? text : `${text}/${length}`;
}
