/**
 * The mutants themselves, on plans of a page: sound ones have every mutant noticed, and flaws are
 * told.
 */
import { scopeId } from '@watershed/blob/scope-id.ts';
import { Policy, Route, Service } from '@watershed/model/gen/model.ts';
import { ScopeClass } from '@watershed/model/gen/record.ts';
import { configKey } from '@watershed/model/keys.ts';
import { job, resourceId } from '@watershed/translator/plan.ts';
import type { Generator, PlansOf, ResourceKey } from '@watershed/translator/plan.ts';
import { describe, expect, it } from 'vitest';
import type { Corpus, EventObject, Input } from './bed.ts';
import { fieldMutants, jobsOf } from './fields.ts';
import { pathsOf, perturb } from './perturb.ts';
import { readMutants, staleSteps } from './reads.ts';

interface ClusterArgument {
  readonly host: string;
  readonly ports: readonly { readonly number: number }[];
  readonly tls: { readonly sni: string } | undefined;
  /** Changes nothing: an argument should not have such a field. */
  readonly note?: string;
}

const cluster: Generator<ClusterArgument> = {
  name: 'cluster',
  version: 1,
  generate: ({ host, ports, tls }) => ({
    bytes: new TextEncoder().encode(JSON.stringify([host, ports.map((p) => p.number), tls?.sni])),
  }),
};

/** `flawed`: with a field that changes nothing, and with a read that another one always covers. */
function plansOf(flawed: boolean): PlansOf {
  return (inputs) => {
    const { graph, indexes } = inputs;
    const keyOf = (host: string): ResourceKey => ({
      typeUrl: 'x/Cluster',
      name: host,
      variant: '',
    });
    const shared = graph.query<ResourceKey, ReturnType<typeof planOf> | undefined>({
      name: 'shared',
      id: resourceId,
      compute: (read, key) => {
        const [service] = read.lookup(indexes.servicesByHost, key.name);
        if (service === undefined) return undefined;
        if (flawed) read.get(inputs.services, service.key);
        const [policy] = read.lookup(indexes.policiesByHost, key.name);
        const sni = policy?.value.value.traffic?.tls?.sni;
        const ports = service.value.value.ports.map(({ number }) => ({ number }));
        const tls = sni === undefined ? undefined : { sni };
        const note = flawed ? { note: service.value.namespace } : {};
        return planOf(key, { host: key.name, ports, tls, ...note });
      },
    });
    const manifest = graph.query<
      ScopeClass,
      { types: { typeUrl: string; shared: ResourceKey[]; own: [] }[] }
    >({
      name: 'manifest',
      id: scopeId,
      compute: (read, scope) => {
        const services = read.lookup(indexes.servicesByNamespace, scope.namespace);
        const hosts = [...new Set(services.map((entry) => entry.value.value.host))].sort();
        return { types: [{ typeUrl: 'x/Cluster', shared: hosts.map(keyOf), own: [] }] };
      },
    });
    const selectors = graph.query({
      name: 'selectors',
      id: (namespace: string) => namespace,
      compute: (read, namespace) => ({
        labelKeys: read.lookup(indexes.routesByNamespace, namespace).map((entry) => entry.key),
        locality: false,
      }),
    });
    return { shared, manifest, selectors };
  };
}

function planOf(key: ResourceKey, argument: ClusterArgument) {
  return { key, parts: [job(cluster, argument)], refs: [], bypassesEpochs: false };
}

function input(kind: 'service' | 'policy' | 'route', name: string, object: EventObject): Input {
  const key = configKey({ cluster: 'c', kind, namespace: 'shop', name });
  return { topic: 'config', key, object };
}

const corpus: Corpus = {
  inputs: [
    ...['a', 'b'].map((host) => {
      const value = Service.fromPartial({ host, namespace: 'shop', ports: [{ number: 80 }] });
      return input('service', host, { $case: 'service', value });
    }),
    input('policy', 'a', {
      $case: 'policy',
      value: Policy.fromPartial({ host: 'a', traffic: { tls: { sni: 'a.example' } } }),
    }),
    input('route', 'r', { $case: 'route', value: Route.fromPartial({ hosts: ['a'] }) }),
  ],
  scopes: [ScopeClass.fromPartial({ namespace: 'shop' })],
};

describe('mutants', () => {
  it('of every field and every read are noticed where the plans are sound', async () => {
    const fields = fieldMutants(await jobsOf(plansOf(false), corpus));
    expect(fields.map((v) => [v.path, v.noticed])).toEqual([
      ['host', true],
      ['ports', true],
      ['ports[].number', true],
      ['tls', true],
      ['tls.sni', true],
    ]);
    const reads = await readMutants(plansOf(false), [corpus]);
    expect(reads.map((v) => [v.reader, v.source, v.verdict]).sort()).toEqual([
      ['manifest', 'service.namespace', 'noticed'],
      ['selectors', 'route.namespace', 'noticed'],
      ['shared', 'policy.host', 'noticed'],
      ['shared', 'service.host', 'noticed'],
    ]);
  });

  it('are judged by an engine that keeps up: it has what a new one makes of the same objects', async () => {
    expect(await staleSteps(plansOf(false), corpus, 1)).toEqual([]);
  });

  it('of a field that changes nothing, and of a read that another covers, are told as not noticed', async () => {
    const fields = fieldMutants(await jobsOf(plansOf(true), corpus));
    expect(fields.filter((v) => !v.noticed).map((v) => v.path)).toEqual(['note']);
    const reads = await readMutants(plansOf(true), [corpus]);
    expect(reads.filter((v) => v.reader === 'shared')).toEqual([
      { reader: 'shared', source: 'service.host', verdict: 'covered', by: ['service'] },
      { reader: 'shared', source: 'service', verdict: 'covered', by: ['service.host'] },
      { reader: 'shared', source: 'policy.host', verdict: 'noticed', by: [] },
    ]);
  });
});

describe('small changes', () => {
  it('reach every field of a value, each alone, and never change the value itself', () => {
    const value = Object.freeze({ a: 1, b: Object.freeze([Object.freeze({ c: 'x', d: true })]) });
    expect(pathsOf(value)).toEqual(['a', 'b', 'b[].c', 'b[].d']);
    const changed = [...perturb(value)];
    expect(new Set(changed.map((one) => one.path))).toEqual(new Set(pathsOf(value)));
    for (const one of changed) expect(one.value).not.toBe(value);
    expect(changed.find((one) => one.path === 'b[].d')?.value).toEqual({
      a: 1,
      b: [{ c: 'x', d: false }],
    });
  });
});
