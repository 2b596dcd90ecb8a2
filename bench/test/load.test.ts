/** The load test's own protocol files say what the real ones do. */
import { fileURLToPath } from 'node:url';
import { loadSync } from '@grpc/proto-loader';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
} from '@watershed/proto/envoy/service/discovery/v3/discovery.ts';
import { expect, it } from 'vitest';

const file = fileURLToPath(new URL('../load/ads.proto', import.meta.url));
const service = loadSync(file)['envoy.service.discovery.v3.AggregatedDiscoveryService'];
const method =
  service !== undefined && 'DeltaAggregatedResources' in service
    ? service['DeltaAggregatedResources']
    : undefined;

it('asks and refuses as the real one', () => {
  const request = {
    node: { id: 'sidecar~10.0.0.7~web-1.shop~shop.svc.cluster.local', cluster: 'load' },
    typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
    resourceNamesSubscribe: ['a', 'b'],
    responseNonce: '7',
    errorDetail: { code: 13, message: 'no' },
  };
  const bytes = method?.requestSerialize(request);
  expect(DeltaDiscoveryRequest.decode(bytes ?? Buffer.alloc(0))).toMatchObject(request);
});

it('is answered as the real one', () => {
  const response = {
    systemVersionInfo: '1',
    resources: [{ name: 'a', version: '2', resource: { typeUrl: 't', value: Buffer.from('x') } }],
    typeUrl: 't',
    nonce: '7',
    removedResources: ['b'],
  };
  const bytes = DeltaDiscoveryResponse.encode(DeltaDiscoveryResponse.fromPartial(response));
  expect(method?.responseDeserialize(Buffer.from(bytes.finish()))).toMatchObject(response);
});
