import { Graph } from '@watershed/derive/graph.ts';
import { Endpoints, Event, Service } from '@watershed/model/gen/model.ts';
import { configKey, endpointsKey } from '@watershed/model/keys.ts';
import { expect, it } from 'vitest';
import { applyRecord, createInputs, type Inputs } from '../src/inputs.ts';
import { registryPages } from '../src/registry-pages.ts';

function shown(inputs: Inputs, path: string): unknown {
  const page = registryPages(inputs).find((one) => one.path === path);
  const answer = page?.handle({ method: 'GET', query: new URLSearchParams(), body: '' });
  return JSON.parse(JSON.stringify(answer));
}

it('registryz has services as istiod tells them', () => {
  const inputs = createInputs(new Graph());
  const value = Service.fromJSON({
    ...{ host: 'cart.shop.svc.cluster.local', namespace: 'shop', name: 'cart' },
    ...{ addresses: ['10.96.0.2'], exportTo: ['*'], selector: { app: 'cart' }, createdMs: 1_000 },
    ports: [
      { number: 80, name: 'http', protocol: 'PROTOCOL_HTTP' },
      { number: 81, name: 'web', protocol: 'PROTOCOL_GRPC_WEB' },
      { number: 82, name: 'any', protocol: 'PROTOCOL_AUTO' },
    ],
  });
  const key = configKey({ cluster: 'c1', kind: 'service', namespace: 'shop', name: 'cart' });
  const object = { $case: 'service', value } as const;
  applyRecord(inputs, 'config', key, Event.encode({ object }).finish());
  expect(shown(inputs, '/debug/registryz')).toEqual([
    {
      Attributes: {
        ...{ ServiceRegistry: 'Kubernetes', Name: 'cart', Namespace: 'shop', Labels: {} },
        ...{ ExportTo: { '*': {} }, LabelSelectors: { app: 'cart' } },
      },
      ports: [
        { name: 'http', port: 80, protocol: 'HTTP' },
        { name: 'web', port: 81, protocol: 'GRPC-Web' },
        { name: 'any', port: 82, protocol: 'UnsupportedProtocol' },
      ],
      creationTime: '1970-01-01T00:00:01.000Z',
      hostname: 'cart.shop.svc.cluster.local',
      clusterVIPs: { Addresses: { c1: ['10.96.0.2'] } },
      ...{ defaultAddress: '10.96.0.2', Resolution: 0, MeshExternal: false },
    },
  ]);
});

it('endpointShardz has endpoints by host, namespace and cluster, whatever these are called', () => {
  const inputs = createInputs(new Graph());
  const endpoint = {
    ...{ address: '10.0.0.1', ports: { http: 8080 }, labels: { app: 'a' }, serviceAccount: 'web' },
    ...{ locality: { region: 'r', zone: 'z' }, weight: 2, health: 'HEALTH_UNHEALTHY', mtls: true },
  };
  for (const [host, cluster] of [
    ['a', 'c1'],
    ['a', 'c2'],
    ['__proto__', 'c1'],
  ] as const) {
    const value = Endpoints.fromJSON({ host, namespace: 'shop', endpoints: [endpoint] });
    const key = endpointsKey({ host, cluster, kind: 'slice', namespace: 'shop', name: 's' });
    const object = { $case: 'endpoints', value } as const;
    applyRecord(inputs, 'endpoints', key, Event.encode({ object }).finish());
  }
  const told = shown(inputs, '/debug/endpointShardz') as Record<string, unknown>;
  expect(told).toEqual(shown(inputs, '/debug/endpointz'));
  expect(Object.keys(told).toSorted()).toEqual(['__proto__', 'a']);
  const of = (cluster: string): object => ({
    ...{ Labels: { app: 'a' }, Addresses: ['10.0.0.1'], ServicePortName: 'http' },
    ...{ ServiceAccount: 'web', Network: '', Locality: { Label: 'r/z', ClusterID: cluster } },
    ...{ EndpointPort: 8080, LbWeight: 2, TLSMode: 'istio', Namespace: 'shop' },
    ...{ HostName: '', HealthStatus: 2 },
  });
  expect(told['a']).toEqual({
    shop: {
      Shards: { 'Kubernetes/c1': [of('c1')], 'Kubernetes/c2': [of('c2')] },
      ServiceAccounts: { web: {} },
    },
  });
});
