import { Graph } from '@watershed/derive/graph.ts';
import { Event, Mesh, Source } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import { expect, it } from 'vitest';
import { applyRecord, createInputs, type Inputs } from '../src/inputs.ts';
import { meshPages } from '../src/mesh-pages.ts';

function shown(inputs: Inputs, path: string, query = ''): unknown {
  const page = meshPages(inputs).find((one) => one.path === path);
  const answer = page?.handle({ method: 'GET', query: new URLSearchParams(query), body: '' });
  return JSON.parse(JSON.stringify(answer));
}

type Put = Extract<Event['object'], { readonly $case: 'mesh' | 'source' }>;

function put(inputs: Inputs, cluster: string, object: Put): void {
  const kind = object.$case;
  const key = configKey({ cluster, kind, namespace: '', name: 'default' });
  applyRecord(inputs, 'config', key, Event.encode({ object }).finish());
}

it('mesh has the settings that hold in the words of MeshConfig, of the cluster that is asked for', () => {
  const inputs = createInputs(new Graph());
  expect(() => shown(inputs, '/debug/mesh')).toThrow('nothing is known');
  for (const [cluster, trustDomain] of [
    ['west', 'west.local'],
    ['east', 'east.local'],
  ] as const) {
    const value = Mesh.fromJSON({
      ...{ trustDomain, connectTimeoutMs: 1_500, outboundMode: 'OUTBOUND_MODE_REGISTRY_ONLY' },
      ...{ pathNormalization: 'PATH_NORMALIZATION_MERGE_SLASHES', autoMtls: true },
      ...{ minMeshTlsVersion: 'TLS_VERSION_1_3', defaultRouteExportTo: ['.'] },
    });
    put(inputs, cluster, { $case: 'mesh', value });
  }
  expect(shown(inputs, '/debug/mesh')).toMatchObject({ trustDomain: 'east.local' });
  expect(shown(inputs, '/debug/mesh', 'cluster=west')).toMatchObject({
    trustDomain: 'west.local',
    connectTimeout: '1.5s',
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
    pathNormalization: { normalization: 'MERGE_SLASHES' },
    meshMTLS: { minProtocolVersion: 'TLSV1_3' },
    defaultVirtualServiceExportTo: ['.'],
    enableAutoMtls: true,
  });
});

it('clusterz has the clusters of all ingesters, as istioctl remote-clusters reads them', () => {
  const inputs = createInputs(new Graph());
  put(inputs, 'west', { $case: 'source', value: Source.create({ synced: true }) });
  put(inputs, 'east', { $case: 'source', value: Source.create({ synced: false }) });
  expect(shown(inputs, '/debug/clusterz')).toEqual([
    { id: 'east', secretName: '', syncStatus: 'syncing' },
    { id: 'west', secretName: '', syncStatus: 'synced' },
  ]);
});
