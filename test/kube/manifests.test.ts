import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { Graph } from '@watershed/derive/graph.ts';
import { program as ingester } from '@watershed/ingester/config.ts';
import { KindWorld } from '@watershed/ingester/core/registry.ts';
import { allKinds } from '@watershed/ingester/validate.ts';
import { program as pusher } from '@watershed/pusher/config.ts';
import { watershedMetrics } from '@watershed/runtime/metric-names.ts';
import { pilotMetrics } from '@watershed/runtime/pilot-metric-names.ts';
import { parseOptions, type Program, type ProgramInput } from '@watershed/runtime/options-parse.ts';
import type { OptionTable } from '@watershed/runtime/options.ts';
import { program as standalone } from '@watershed/standalone/config.ts';
import { program as translator } from '@watershed/translator/config.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { kustomize, startKube, type Kube } from '../components/kube.ts';
import {
  Cluster,
  environmentOf,
  manifestsOf,
  type Container,
  type Manifest,
  type Template,
} from './cluster.ts';

const here = join(import.meta.dirname, '../../k8s');
const overlays = ['laptop', 'cluster', 'scale'] as const;
/** Each on the overlay `cluster`, but for what only `scale` closes. */
const components = ['read-kubernetes', 'kafka-sasl', 'token-review', 'https-egress'] as const;

/** What `kustomize build` gives, by overlay, or by component. */
const built = new Map<string, readonly Manifest[]>();
let scratch: string;
let kube: Kube | undefined;
let cluster: Cluster;

beforeAll(async () => {
  for (const name of overlays) {
    built.set(name, manifestsOf(await kustomize(join(here, 'overlays', name))));
  }
  scratch = await mkdtemp(join(tmpdir(), 'watershed-kustomize-'));
  for (const name of components) built.set(name, manifestsOf(await withComponent(name)));
  kube = await startKube();
  cluster = new Cluster(kube);
}, 4_000_000);

afterAll(async () => {
  await kube?.stop();
  await rm(scratch, { recursive: true, force: true });
});

async function withComponent(name: string): Promise<string> {
  // Kustomize takes no absolute paths.
  const path = (of: string): string => relative(scratch, join(here, of));
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [path(name === 'https-egress' ? 'overlays/scale' : 'overlays/cluster')],
    components: [path(`components/${name}`)],
  };
  await writeFile(join(scratch, 'kustomization.yaml'), JSON.stringify(kustomization));
  return kustomize(scratch);
}

function objects(name: string, kind?: string): readonly Manifest[] {
  return (built.get(name) ?? []).filter((one) => kind === undefined || one.kind === kind);
}

function templates(name: string): readonly Template[] {
  return objects(name).flatMap(({ spec }) => spec?.template ?? []);
}

const everything = [...overlays, ...components];

describe('a real API server', () => {
  test.for(everything)('takes every object of %s, in a dry run and then for good', async (name) => {
    const manifests = objects(name);
    expect(manifests.length).toBeGreaterThan(4);
    for (const dryRun of [true, false]) {
      for (const manifest of manifests) {
        // What is in a namespace can be tried only where that is; a Job cannot be changed, and is
        // gone when it has ended.
        const dry = (dryRun && manifest.kind !== 'Namespace') || manifest.kind === 'Job';
        const { status, body, warnings } = await cluster.apply(manifest, { dryRun: dry });
        const of = `${manifest.kind} ${manifest.metadata.name}`;
        if (status !== 200 && status !== 201) throw new Error(`${of}: ${JSON.stringify(body)}`);
        expect({ of, warnings }).toEqual({ of, warnings: [] });
      }
    }
  });

  test.for(everything)('lets the Pods of %s in by the profile restricted', async (name) => {
    const all = objects(name).filter(({ spec }) => spec?.template !== undefined);
    expect(all.length).toBe(name === 'laptop' ? 1 : 4);
    for (const workload of all) {
      const { status, body } = await cluster.createPod(workload);
      if (status !== 201) throw new Error(JSON.stringify(body));
    }
  });

  test('refuses a field that is not one', async () => {
    const [workload] = objects('scale', 'StatefulSet');
    const wrong = { ...workload, spec: { ...workload?.spec, replicants: 3 } } as Manifest;
    const { status, body } = await cluster.apply(wrong, { dryRun: true });
    expect(status).toBe(500);
    expect(JSON.stringify(body)).toContain('.spec.replicants: field not declared in schema');
  });

  test('refuses a value that is none of the field', async () => {
    const [budget] = objects('scale', 'PodDisruptionBudget');
    const spec = { ...budget?.spec, unhealthyPodEvictionPolicy: 'Sometimes' };
    const { status, body } = await cluster.apply({ ...budget, spec } as Manifest, { dryRun: true });
    expect(status).toBe(422);
    expect(JSON.stringify(body)).toContain('unhealthyPodEvictionPolicy');
  });

  test('refuses a Pod that asks for more rights than restricted gives', async () => {
    const [workload] = objects('cluster', 'Deployment');
    const template = workload?.spec?.template;
    const [container] = template?.spec.containers ?? [];
    const loose = { ...container, securityContext: { allowPrivilegeEscalation: true } };
    const spec = { template: { ...template, spec: { ...template?.spec, containers: [loose] } } };
    const { status, body } = await cluster.createPod({ ...workload, spec } as Manifest);
    expect(status).toBe(403);
    expect(JSON.stringify(body)).toContain('violates PodSecurity');
  });

  test('gives translators and pushers nothing, and the ingester no more than to see its kinds', async () => {
    for (const account of ['watershed-translator', 'watershed-pusher', 'watershed-topics']) {
      expect(await cluster.may(account, 'list', '', 'services')).toBe(false);
      expect(await cluster.may(account, 'get', '', 'secrets')).toBe(false);
      const reviews = cluster.may(account, 'create', 'authentication.k8s.io', 'tokenreviews');
      expect(await reviews).toBe(account === 'watershed-pusher');
    }
    const may = cluster.may.bind(cluster, 'watershed-ingester');
    for (const verb of ['get', 'list', 'watch']) {
      expect(await may(verb, '', 'services')).toBe(true);
      expect(await may(verb, 'networking.istio.io', 'virtualservices')).toBe(true);
      expect(await may(verb, '', 'configmaps', 'istio')).toBe(true);
      expect(await may(verb, '', 'configmaps', 'other')).toBe(false);
      expect(await may(verb, 'apps', 'deployments')).toBe(false);
    }
    for (const verb of ['create', 'update', 'patch', 'delete']) {
      expect(await may(verb, '', 'services')).toBe(false);
    }
  });
});

describe('the manifests', () => {
  test('give no Pod a token, but those that ask the API server something', () => {
    const asking: Readonly<Record<string, readonly string[]>> = {
      'read-kubernetes': ['watershed-ingester'],
      'token-review': ['watershed-pusher'],
    };
    for (const name of everything) {
      const withToken = templates(name).filter(({ spec }) => spec.automountServiceAccountToken);
      expect(withToken.map(({ spec }) => spec.serviceAccountName)).toEqual(asking[name] ?? []);
    }
  });

  test('have one role to read, and it names exactly the kinds that the ingester knows', () => {
    for (const name of overlays) expect(objects(name, 'ClusterRole')).toEqual([]);
    const [role] = objects('read-kubernetes', 'ClusterRole');
    const granted = (role?.rules ?? []).flatMap(({ apiGroups, resources }) =>
      resources.map((resource) => `${apiGroups[0]}/${resource}`),
    );
    const settings = {
      cluster: 'c',
      domain: 'd',
      rootNamespace: 'istio-system',
      ambient: true,
    };
    const seal = { sealed: new Uint8Array(), keyId: '' };
    const world = new KindWorld(new Graph(), settings, () => seal);
    // MeshConfig is no object of the API, but a text in a ConfigMap.
    const known = allKinds
      .map((kind) => kind.install(world))
      .filter(({ group }) => group !== 'mesh.istio.io');
    const resources = known.map(({ group, kind }) => `${group}/${pluralOf(kind)}`);
    expect(granted.toSorted()).toEqual(resources.toSorted());
    for (const { verbs } of role?.rules ?? []) expect(verbs).toEqual(['get', 'list', 'watch']);
  });

  test.for(everything)('of %s start programs with options that these take', (name) => {
    let count = 0;
    for (const { spec } of templates(name)) {
      for (const container of spec.containers) {
        const program = programs.get(container.args.find((arg) => arg.endsWith('.ts')) ?? '');
        if (program === undefined) continue;
        count += 1;
        const argv = container.args.slice(
          container.args.findIndex((arg) => arg.endsWith('.ts')) + 1,
        );
        const environment = environmentOf(objects(name), container);
        const secrets = secretsOf(container);
        expect(program.parse({ argv, environment: { ...environment, ...secrets } })).toMatchObject({
          kind: 'run',
          warnings: [],
        });
        const given = Object.keys({ ...environment, ...secrets });
        expect(given.filter((variable) => !variables.has(variable))).toEqual([]);
        const secret = Object.values(program.table).filter((row) => row.secret === true);
        const clear = secret.flatMap((row) => row.env ?? []).filter((one) => environment[one]);
        expect(clear).toEqual([]);
      }
    }
    expect(count).toBe(name === 'laptop' ? 1 : 3);
  });

  test('name Secrets, and have none', () => {
    for (const name of everything) {
      expect(objects(name, 'Secret')).toEqual([]);
      const volumes = templates(name).flatMap(({ spec }) => spec.volumes ?? []);
      const named = new Set(volumes.flatMap(({ secret }) => secret?.secretName ?? []));
      expect([...named].toSorted()).toEqual([
        ...(name === 'kafka-sasl' ? ['watershed-kafka-ca'] : []),
        ...(name === 'laptop' ? [] : ['watershed-sealing', 'watershed-xds-tls']),
      ]);
    }
  });

  test('have every ConfigMap that a Pod asks for', () => {
    for (const name of everything) {
      const there = new Set(objects(name, 'ConfigMap').map(({ metadata }) => metadata.name));
      const wanted = templates(name).flatMap(({ spec }) => [
        ...(spec.volumes ?? []).flatMap(({ configMap }) => configMap?.name ?? []),
        ...spec.containers.flatMap(({ envFrom = [] }) =>
          envFrom.map(({ configMapRef }) => configMapRef.name),
        ),
      ]);
      expect(wanted.length).toBeGreaterThan(0);
      expect(wanted.filter((one) => !there.has(one))).toEqual([]);
    }
  });

  test('point Services, budgets and autoscalers at Pods that are there', () => {
    const labels = templates('scale').map(({ metadata }) => metadata.labels);
    const matches = (selector: Readonly<Record<string, unknown>>): boolean =>
      labels.some((has) => Object.entries(selector).every(([key, value]) => has[key] === value));
    for (const { spec } of objects('scale', 'Service')) {
      expect(matches(spec?.selector ?? { none: 1 })).toBe(true);
    }
    for (const { spec } of objects('scale', 'PodDisruptionBudget')) {
      expect(matches(spec?.selector?.matchLabels ?? { none: 1 })).toBe(true);
    }
    const scalers = objects('scale', 'HorizontalPodAutoscaler');
    expect(scalers.length).toBe(2);
    for (const { spec } of scalers) {
      const { kind = '', name } = spec?.scaleTargetRef ?? {};
      const target = objects('scale', kind).find(({ metadata }) => metadata.name === name);
      expect(target).toBeDefined();
      // It would be set back at each apply.
      expect(target?.spec?.replicas).toBeUndefined();
    }
  });

  test('scale by metrics that are exported, and that the adapter has rules for', async () => {
    const groups = [pilotMetrics, watershedMetrics];
    const exported = groups.flatMap((group) => Object.values(group).map((spec) => spec.name));
    const text = await readFile(join(here, 'overlays/scale/prometheus-adapter.yaml'), 'utf8');
    const { rules } = parse(text) as { rules: { custom: { seriesQuery: string }[] } };
    const served = rules.custom.map(({ seriesQuery }) => seriesQuery.split('{')[0]);
    const metrics = objects('scale', 'HorizontalPodAutoscaler').flatMap(
      ({ spec }) => spec?.metrics ?? [],
    );
    // Of the Pods that are scaled, so that no label of a series has to say whose it is.
    expect([...new Set(metrics.map(({ type }) => type))].toSorted()).toEqual(['Pods', 'Resource']);
    const wanted = metrics.flatMap(({ pods }) => pods?.metric.name ?? []);
    expect(wanted).toEqual(['watershed_streams', 'watershed_log_lag_records']);
    expect(wanted.filter((name) => !exported.some((one) => one === name))).toEqual([]);
    expect(served).toEqual(wanted);
  });
});

interface Runnable {
  readonly table: OptionTable;
  readonly parse: (input: ProgramInput) => object;
}

function runnable<T extends OptionTable>(program: Program<T>): Runnable {
  return { table: program.table, parse: (input) => parseOptions(program, input) };
}

const programs: ReadonlyMap<string, Runnable> = new Map([
  ['services/ingester/src/main.ts', runnable(ingester)],
  ['services/translator/src/main.ts', runnable(translator)],
  ['services/pusher/src/main.ts', runnable(pusher)],
  ['standalone/src/main.ts', runnable(standalone)],
]);

/** Of any program: the ConfigMap is for all of them. */
const variables: ReadonlySet<string> = new Set(
  [...programs.values()].flatMap(({ table }) =>
    Object.values(table).flatMap((row) => row.env ?? []),
  ),
);

/** What Secrets would say. */
function secretsOf({ env = [] }: Container): Readonly<Record<string, string>> {
  const secret = env.filter(({ value, valueFrom }) => !value && valueFrom?.fieldRef === undefined);
  return Object.fromEntries(secret.map(({ name }) => [name, 'secret']));
}

function pluralOf(kind: string): string {
  const name = kind.toLowerCase();
  if (/[^aeiou]y$/u.test(name)) return `${name.slice(0, -1)}ies`;
  return name.endsWith('s') ? `${name}es` : `${name}s`;
}
