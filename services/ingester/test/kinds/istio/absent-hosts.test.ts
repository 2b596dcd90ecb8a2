/** Hosts that an object names and nothing has: what is told of them. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const apiVersion = 'networking.istio.io/v1';

const service: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { ports: [{ port: 80 }] },
};

function entry(host: string, namespace = 'shop'): RawObject {
  const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  const spec = { hosts: [host], ports, resolution: 'NONE' };
  return { apiVersion, kind: 'ServiceEntry', metadata: { name: 'entry', namespace }, spec };
}

function world(...objects: readonly RawObject[]): Objects {
  const all = new Objects();
  for (const one of objects) all.put(one);
  return all;
}

describe('the host of a DestinationRule', () => {
  const rule = (host: string): RawObject => {
    const metadata = { name: 'rule', namespace: 'shop' };
    return { apiVersion, kind: 'DestinationRule', metadata, spec: { host } };
  };
  const absent = (given: string, full = given): string =>
    `DestinationRule shop/rule: warning: spec.host: no Service or ServiceEntry has host ${full}: "${given}"`;

  it.each([
    ['a Service', 'web', service],
    ['a Service, by its full name', 'Web.shop.svc.cluster.local.', service],
    ['a ServiceEntry', 'api.example.com', entry('api.example.com')],
    ['a wildcard of a ServiceEntry', 'api.example.com', entry('*.example.com')],
  ])('is that of %s; without it that is told', (_, host, object) => {
    const objects = world(rule(host), object);
    expect(objects.problems()).toEqual([]);
    objects.remove(object);
    const full = host.startsWith('api') ? host : 'web.shop.svc.cluster.local';
    expect(objects.problems()).toEqual([absent(host, full)]);
    objects.put(object);
    expect(objects.problems()).toEqual([]);
  });

  it('is not the short name of a Service of another namespace', () => {
    expect(world(rule('web.shop'), service).problems()).toEqual([absent('web.shop')]);
  });

  it.each(['*.example.com', '*', '10.0.0.1'])('may be %s, of which it is not asked', (host) => {
    expect(world(rule(host)).problems()).toEqual([]);
  });
});
