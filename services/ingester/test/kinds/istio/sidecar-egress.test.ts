/** Egress hosts and listeners of a Sidecar that come to nothing. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { sidecar, world } from './sidecars.ts';

const service: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'pay' },
  spec: { ports: [{ port: 80 }] },
};
const entry: RawObject = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'entry', namespace: 'pay' },
  spec: {
    hosts: ['api.example.com'],
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    resolution: 'NONE',
  },
};
const route: RawObject = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'route', namespace: 'pay' },
  spec: { hosts: ['route.test'], http: [{ directResponse: { status: 200 } }] },
};

const own: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'own', namespace: 'shop' },
  spec: { ports: [{ port: 8080 }] },
};

const web = 'web.pay.svc.cluster.local';

describe('an egress host', () => {
  const namespace: RawObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'pay' } };
  const told = (host: string, reason: string): string =>
    `Sidecar shop/a: warning: spec.egress[0].hosts[0]: ${reason}: "${host}"`;
  const gone = 'namespace pay is not found in this cluster';
  const no = 'no Service, ServiceEntry or VirtualService';

  it.each([
    ['pay/*', namespace, gone],
    ['pay/*', service, gone],
    ['pay/*', entry, gone],
    ['pay/*', route, gone],
    [`pay/${web}`, service, gone],
    [`*/${web}`, service, `${no} in this cluster has host ${web}`],
    ['*/API.example.com', entry, `${no} in this cluster has host api.example.com`],
    ['*/route.test', route, `${no} in this cluster has host route.test`],
  ])('%s needs what it names; without it that is told', (host, object, reason) => {
    const objects = world(sidecar('a', { egress: [{ hosts: [host, './*'] }] }), own, object);
    expect(objects.problems()).toEqual([]);
    objects.remove(object);
    expect(objects.problems()).toEqual([told(host, reason)]);
    objects.put(object);
    expect(objects.problems()).toEqual([]);
  });

  it.each([web, 'api.example.com', 'route.test'])(
    '%s must be of the namespace before it',
    (name) => {
      const host = `./${name}`;
      const objects = world(sidecar('a', { egress: [{ hosts: [host] }] }), service, entry, route);
      const reason = `${no} of namespace shop in this cluster has host ${name}`;
      expect(objects.problems()).toEqual([told(host, reason)]);
    },
  );

  it("of a client's own namespace, for all clients, must be of some namespace", () => {
    const objects = world(
      sidecar('a', { namespace: 'istio-system', egress: [{ hosts: [`./${web}`, './a.test'] }] }),
      service,
    );
    expect(objects.problems()).toEqual([
      `Sidecar istio-system/a: warning: spec.egress[0].hosts[1]: ${no} in this cluster has host a.test: "./a.test"`,
    ]);
  });

  it.each(['*/*', '~/*'])('%s needs nothing', (host) => {
    expect(world(sidecar('a', { egress: [{ hosts: [host] }] })).problems()).toEqual([]);
  });

  it('is told of 20 times at most', () => {
    const hosts = Array.from({ length: 30 }, (_, at) => `n${at}/*`);
    expect(world(sidecar('a', { egress: [{ hosts }] })).problems()).toHaveLength(20);
  });
});

describe('an egress listener', () => {
  const nothing = 'the listener serves nothing';
  const select = `select no Service and no ServiceEntry: ${nothing}`;

  it.each([
    ['./*', own],
    ['shop/*', own],
    ['*/*.shop.svc.cluster.local', own],
    ['shop/*.local', own],
    ['*/*.example.com', entry],
    ['*/*.com', entry],
  ])('of %s alone needs something that it matches', (host, object) => {
    const objects = world(sidecar('a', { egress: [{ hosts: [host, '~/*'] }] }), object);
    expect(objects.problems()).toEqual([]);
    objects.remove(object);
    expect(objects.problems()).toEqual([
      `Sidecar shop/a: warning: spec.egress[0].hosts: ${select}: "${host}, ~/*"`,
    ]);
  });

  it.each(['pay/*.example.org', 'shop/*.pay.svc.cluster.local', 'istio-system/*', '*/route.test'])(
    'of %s alone matches no service of others',
    (host) => {
      const objects = world(sidecar('a', { egress: [{ hosts: [host] }] }), service, entry, route);
      expect(objects.problems()).toEqual([
        `Sidecar shop/a: warning: spec.egress[0].hosts: ${select}: "${host}"`,
      ]);
    },
  );

  it.each([
    [80, '*/*', service],
    [80, `pay/${web}`, service],
    [80, 'pay/*', entry],
    [80, '*/*.example.com', entry],
    [8080, './*', own],
  ])('of port %d and %s needs something with that port', (number, host, object) => {
    const port = { number, protocol: 'HTTP', name: 'http' };
    const last = { hosts: ['*/*'] };
    const objects = world(sidecar('a', { egress: [{ port, hosts: [host] }, last] }), object);
    expect(objects.problems()).toEqual([]);
    objects.put(sidecar('a', { egress: [{ port: { ...port, number: 81 }, hosts: [host] }, last] }));
    expect(objects.problems()).toEqual([
      'Sidecar shop/a: warning: spec.egress[0].port.number: is no port of a Service or ServiceEntry ' +
        `that the hosts of the listener select: ${nothing}: 81`,
    ]);
  });

  it('of a proxy or a socket shows all ports', () => {
    const proxy = { port: { number: 3128, protocol: 'HTTP_PROXY', name: 'proxy' }, hosts: ['./*'] };
    const socket = {
      port: { number: 0, protocol: 'HTTP', name: 'socket' },
      bind: 'unix:///a.sock',
      hosts: ['./*'],
    };
    const objects = world(sidecar('a', { egress: [proxy, socket, { hosts: ['./*'] }] }), own);
    expect(objects.problems()).toEqual([]);
  });

  it.each(['~/*', 'gone/*'])('of %s alone is told of by its host, or asks for nothing', (host) => {
    const egress = [{ port: { number: 80, protocol: 'HTTP', name: 'http' }, hosts: [host] }];
    const told = world(sidecar('a', { egress })).problems();
    expect(told.filter((line) => !line.includes('hosts[0]'))).toEqual([]);
  });
});
