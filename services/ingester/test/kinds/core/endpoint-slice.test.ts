/** EndpointSlices that nobody can use: what is told of them. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const service: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { ports: [{ name: 'http', port: 80 }] },
};

function slice(rest: object = {}, labels: object = { [label]: 'web' }): RawObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'shop', labels },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ...rest,
  };
}

const label = 'kubernetes.io/service-name';
const told = (what: string): string => `EndpointSlice shop/web-1: warning: ${what}`;
const ofService = `metadata.labels["${label}"]`;

describe('an EndpointSlice', () => {
  it('needs its Service; without it that is told', () => {
    const objects = new Objects();
    objects.put(slice());
    const absent = told(`${ofService}: Service shop/web is not found in this cluster: "web"`);
    expect(objects.problems()).toEqual([absent]);
    objects.put(service);
    expect(objects.problems()).toEqual([]);
    objects.remove(service);
    expect(objects.problems()).toEqual([absent]);
  });

  it.each([
    [slice({}, {}), `${ofService}: is required: the slice is of no Service: ""`],
    [
      slice({ addressType: 'FQDN', endpoints: [{ addresses: ['a.example.com'] }] }),
      'addressType: is not supported: the slice has no effect: "FQDN"',
    ],
    [
      slice({ ports: [{ name: 'htpp', port: 8080 }] }),
      'ports: Service shop/web has no port of this name: "htpp"',
    ],
  ])('is told of what nobody can use', (object, expected) => {
    const objects = new Objects();
    objects.put(service);
    objects.put(object);
    expect(objects.problems()).toEqual([told(expected)]);
  });

  it('may have some ports of its Service and not others', () => {
    const objects = new Objects();
    const ports = [
      { name: 'http', port: 80 },
      { name: 'grpc', port: 90 },
    ];
    objects.put({ ...service, spec: { ports } });
    objects.put(slice());
    expect(objects.problems()).toEqual([]);
  });
});
