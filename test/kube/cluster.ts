/** Manifests as the API server of a cluster sees them. */
import { parseAllDocuments } from 'yaml';
import type { Answer, Kube } from '../components/kube.ts';

/** As much of an object as tests look at. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Spec;
  readonly rules?: readonly Rule[];
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

interface Spec {
  readonly replicas?: number;
  readonly serviceName?: string;
  readonly selector?: Labels & { readonly matchLabels?: Labels };
  readonly template?: Template;
  readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
  readonly scaleTargetRef?: { readonly kind: string; readonly name: string };
  readonly metrics?: readonly Metric[];
}

export type Labels = Readonly<Record<string, unknown>>;

interface Named {
  readonly metric: { readonly name: string };
}

interface Metric {
  readonly type: string;
  readonly pods?: Named;
}

export interface Template {
  readonly metadata: { readonly labels: Labels };
  readonly spec: {
    readonly serviceAccountName: string;
    readonly automountServiceAccountToken: boolean;
    readonly containers: readonly Container[];
    readonly volumes?: readonly {
      readonly name: string;
      readonly configMap?: { readonly name: string };
      readonly secret?: { readonly secretName: string };
    }[];
  };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } };
  }[];
  readonly envFrom?: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
}

/**
 * The variables that it gives itself, those of Secrets apart. What it is told of its Pod is put in
 * where others refer to it.
 */
export function environmentOf(
  manifests: readonly Manifest[],
  { env = [], envFrom = [] }: Container,
  pod = { name: 'pod', namespace: 'watershed' },
): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {};
  const own = new Map<string, string>();
  for (const { configMapRef } of envFrom) {
    const found = manifests.find(
      ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === configMapRef.name,
    );
    Object.assign(environment, found?.data);
  }
  for (const { name, value, valueFrom } of env) {
    const path = valueFrom?.fieldRef?.fieldPath;
    if (path === 'metadata.name') own.set(name, pod.name);
    if (path === 'metadata.namespace') own.set(name, pod.namespace);
    if (value === undefined) continue;
    environment[name] = value.replaceAll(/\$\((\w+)\)/gu, (as, of: string) => own.get(of) ?? as);
  }
  return environment;
}

export function manifestsOf(text: string): readonly Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Manifest);
}

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export class Cluster {
  readonly #kube: Kube;

  constructor(kube: Kube) {
    this.#kube = kube;
  }

  /** Server-side apply, all fields checked; with `dryRun` nothing is stored. */
  async apply(manifest: Manifest, { dryRun }: { readonly dryRun: boolean }): Promise<Answer> {
    const query = new URLSearchParams({
      fieldManager: 'test',
      fieldValidation: 'Strict',
      force: 'true',
      ...(dryRun ? { dryRun: 'All' } : {}),
    });
    return this.#kube.ask({
      method: 'PATCH',
      path: `${await this.#path(manifest)}/${manifest.metadata.name}?${query.toString()}`,
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify(manifest),
    });
  }

  /** Whether a Pod of that workload would be let in: its profile, account and priority. */
  createPod({ metadata: { namespace = 'default' }, spec }: Manifest): Promise<Answer> {
    const { template, volumeClaimTemplates = [] } = spec ?? {};
    // As a StatefulSet's controller does.
    const claimed = volumeClaimTemplates.map(({ metadata: { name } }) => ({
      name,
      persistentVolumeClaim: { claimName: `${name}-pod` },
    }));
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'pod', labels: template?.metadata.labels },
      spec: { ...template?.spec, volumes: [...(template?.spec.volumes ?? []), ...claimed] },
    };
    return this.#kube.ask({
      method: 'POST',
      path: `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`,
      body: JSON.stringify(pod),
    });
  }

  /** Whether that service account may. */
  async may(account: string, verb: string, group: string, resource: string, name = '') {
    const user = `system:serviceaccount:watershed:${account}`;
    const resourceAttributes = { verb, group, resource, name, namespace: 'istio-system' };
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: { user, resourceAttributes },
    };
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const { body } = await this.#kube.ask({ method: 'POST', path, body: JSON.stringify(review) });
    return (body as { readonly status: { readonly allowed: boolean } }).status.allowed;
  }

  async #path({ apiVersion, kind, metadata }: Manifest): Promise<string> {
    const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { body } = await this.#kube.ask({ method: 'GET', path: group });
    const { resources = [] } = body as { readonly resources?: readonly Resource[] };
    const found = resources.find((one) => one.kind === kind && !one.name.includes('/'));
    if (found === undefined) throw new Error(`${apiVersion} has no ${kind}`);
    if (!found.namespaced) return `${group}/${found.name}`;
    return `${group}/namespaces/${metadata.namespace ?? 'default'}/${found.name}`;
  }
}
