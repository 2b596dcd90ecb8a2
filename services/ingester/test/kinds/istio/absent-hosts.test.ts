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
    `DestinationRule shop/rule: warning: spec.host: no Service or ServiceEntry in this cluster has host ${full}: "${given}"`;

  it.each([
    ['a Service', 'web', service],
    ['a Service, by its full name', 'Web.shop.svc.cluster.local.', service],
    ['a ServiceEntry', 'api.example.com', entry('api.example.com')],
  ])('is that of %s; without it that is told', (_, host, object) => {
    const objects = world(rule(host), object);
    expect(objects.problems()).toEqual([]);
    objects.remove(object);
    const full = host.startsWith('api') ? host : 'web.shop.svc.cluster.local';
    expect(objects.problems()).toEqual([absent(host, full)]);
    objects.put(object);
    expect(objects.problems()).toEqual([]);
  });

  it('is not one that a wildcard of a ServiceEntry matches: that is a host of its own', () => {
    const told =
      'DestinationRule shop/rule: warning: spec.host: no Service or ServiceEntry in this cluster has host ' +
      'api.example.com; *.example.com of a ServiceEntry is another host: "api.example.com"';
    const objects = world(rule('api.example.com'), entry('*.example.com'));
    expect(objects.problems()).toEqual([told]);
  });

  it('is not the short name of a Service of another namespace', () => {
    const hint = "web.shop; web.shop.svc.cluster.local is a Service's";
    expect(world(rule('web.shop'), service).problems()).toEqual([absent('web.shop', hint)]);
  });

  it('is told of settings for a port that it does not have', () => {
    const trafficPolicy = (number: number) => ({
      portLevelSettings: [80, number].map((at) => ({ port: { number: at }, tls: {} })),
    });
    const ofAll = { ...rule('web'), spec: { host: 'web', trafficPolicy: trafficPolicy(81) } };
    const subsets = [{ name: 'a', trafficPolicy: trafficPolicy(82) }];
    const ofSubset = { ...rule('api'), spec: { host: 'api.example.com', subsets } };
    const at = 'portLevelSettings[1].port.number';
    expect(world(ofAll, service).problems()).toEqual([
      `DestinationRule shop/rule: warning: spec.trafficPolicy.${at}: Service web.shop.svc.cluster.local has no such port: 81`,
    ]);
    expect(world(ofSubset, entry('api.example.com')).problems()).toEqual([
      `DestinationRule shop/rule: warning: spec.subsets[0].trafficPolicy.${at}: no ServiceEntry of api.example.com has such a port: 82`,
    ]);
  });

  it.each(['*.example.com', '*', '10.0.0.1'])('may be %s, of which it is not asked', (host) => {
    expect(world(rule(host)).problems()).toEqual([]);
  });
});

describe('a VirtualService', () => {
  const route = (hosts: readonly string[], gateways: readonly string[], port = 80): RawObject => {
    const destination = { host: 'api.example.com', port: { number: port } };
    const spec = { hosts, gateways, http: [{ route: [{ destination }] }] };
    const metadata = { name: 'route', namespace: 'shop' };
    return { apiVersion, kind: 'VirtualService', metadata, spec };
  };
  const gateway = (...hosts: readonly string[]): RawObject => {
    const servers = [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts }];
    const spec = { selector: { app: 'edge' }, servers };
    return { apiVersion, kind: 'Gateway', metadata: { name: 'edge', namespace: 'edge' }, spec };
  };
  const api = entry('api.example.com');

  it.each([
    ['*.shop.test', 'a.shop.test'],
    ['shop/*', 'a.shop.test'],
    ['*/A.shop.test.', 'a.shop.test'],
    ['a.shop.test', '*.shop.test'],
  ])('of a Gateway with host %s may have host %s', (allowed, host) => {
    const objects = world(api, gateway('x.shop.test', allowed), route([host], ['edge/edge']));
    expect(objects.problems()).toEqual([]);
  });

  it.each(['*.shop.test', 'edge/b.example.org', './*'])(
    'is told of a host that a Gateway with host %s does not serve',
    (allowed) => {
      const told =
        'VirtualService shop/route: warning: spec.hosts[0]: is served nowhere: ' +
        'no server of its gateways has such a host: "b.example.org"';
      const objects = world(api, gateway(allowed), route(['b.example.org'], ['edge/edge']));
      expect(objects.problems()).toEqual([told]);
      objects.put(route(['b.example.org'], ['edge/edge', 'mesh']));
      expect(objects.problems()).toEqual([]);
    },
  );

  it.each([
    ['web', ['mesh']],
    ['Web.shop.svc.cluster.local.', []],
  ])('of the mesh needs the Service of its host %s', (host, gateways) => {
    const objects = world(api, route([host], gateways), service);
    expect(objects.problems()).toEqual([]);
    objects.remove(service);
    expect(objects.problems()).toEqual([
      'VirtualService shop/route: warning: spec.hosts[0]: no Service or ServiceEntry in this cluster has host ' +
        `web.shop.svc.cluster.local: "${host}"`,
    ]);
  });

  it.each(['a.shop.test', '*.shop.svc.cluster.local', 'web.shop'])(
    'of the mesh may have host %s, which is of routes alone',
    (host) => {
      expect(world(api, route([host], [])).problems()).toEqual([]);
    },
  );

  it('of the mesh is told of a match of a port that its hosts do not have', () => {
    const asks = (hosts: readonly string[], gateways: readonly string[] = []): RawObject => {
      const http = [{ match: [{ port: 80 }, { port: 81 }], directResponse: { status: 200 } }];
      return { ...route([], []), spec: { hosts, gateways, http } };
    };
    expect(world(asks(['web', 'api.example.com']), service, api).problems()).toEqual([
      'VirtualService shop/route: warning: spec.http[0].match[1].port: ' +
        'Service web.shop.svc.cluster.local has no such port: "81"',
    ]);
    expect(world(asks(['web', 'a.test']), service).problems()).toEqual([]);
    expect(world(asks(['web'], ['mesh', 'edge/edge']), service, gateway('*')).problems()).toEqual(
      [],
    );
  });

  it('is told of a port that no ServiceEntry of the host has', () => {
    const objects = world(api, route(['b.example.org'], ['mesh'], 8888));
    expect(objects.problems()).toEqual([
      'VirtualService shop/route: warning: spec.http[0].route[0].destination.port.number: ' +
        'no ServiceEntry of api.example.com has such a port: "8888"',
    ]);
  });
});
