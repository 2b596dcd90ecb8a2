/** What of a Sidecar has no effect, because of what else there is, or is not. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

interface Rest {
  readonly namespace?: string;
  /** Of a month. */
  readonly day?: number;
  readonly [field: string]: unknown;
}

function sidecar(name: string, rest: Rest = {}): RawObject {
  const { namespace = 'shop', day, ...spec } = rest;
  const age = day === undefined ? {} : { creationTimestamp: `2026-01-0${day}T00:00:00Z` };
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name, namespace, ...age },
    spec: { egress: [{ hosts: ['./*'] }], ...spec },
  };
}

function world(...objects: readonly RawObject[]): Objects {
  const all = new Objects();
  for (const one of objects) all.put(one);
  return all;
}

describe('of two Sidecars for all workloads of a namespace', () => {
  const lost = (name: string, winner: string, why: string): string =>
    `Sidecar shop/${name}: warning: spec.workloadSelector: selects every workload of namespace shop, ` +
    `as that of Sidecar shop/${winner} does, which goes first (${why}): this one has no effect`;
  const byName = 'by namespace and name';

  it('the younger one is told that it has no effect, else the second by name', () => {
    expect(world(sidecar('a', { day: 2 }), sidecar('b', { day: 1 })).problems()).toEqual([
      lost('a', 'b', 'it is older'),
    ]);
    const first = sidecar('a');
    const objects = world(sidecar('c'), first, sidecar('b'));
    expect(objects.problems()).toEqual([lost('c', 'a', byName), lost('b', 'a', byName)]);
    objects.remove(first);
    expect(objects.problems()).toEqual([lost('c', 'b', byName)]);
  });

  it('neither is told of anything where one selects some, or is of another namespace', () => {
    const some = sidecar('b', { workloadSelector: { labels: { app: 'web' } } });
    expect(world(sidecar('c'), some, sidecar('a', { namespace: 'pay' })).problems()).toEqual([]);
  });
});

describe('an egress host', () => {
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
  const namespace: RawObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'pay' } };
  const web = 'web.pay.svc.cluster.local';
  const told = (host: string, reason: string): string =>
    `Sidecar shop/a: warning: spec.egress[0].hosts[0]: ${reason}: "${host}"`;
  const gone = 'namespace pay is not found';
  const no = 'no Service, ServiceEntry or VirtualService';

  it.each([
    ['pay/*', namespace, gone],
    ['pay/*', service, gone],
    ['pay/*', entry, gone],
    ['pay/*', route, gone],
    [`pay/${web}`, service, gone],
    [`*/${web}`, service, `${no} has host ${web}`],
    ['*/API.example.com', entry, `${no} has host api.example.com`],
    ['*/route.test', route, `${no} has host route.test`],
  ])('%s needs what it names; without it that is told', (host, object, reason) => {
    const objects = world(sidecar('a', { egress: [{ hosts: [host] }] }), object);
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
      const reason = `${no} of namespace shop has host ${name}`;
      expect(objects.problems()).toEqual([told(host, reason)]);
    },
  );

  it("of a client's own namespace, for all clients, must be of some namespace", () => {
    const objects = world(
      sidecar('a', { namespace: 'istio-system', egress: [{ hosts: [`./${web}`, './a.test'] }] }),
      service,
    );
    expect(objects.problems()).toEqual([
      `Sidecar istio-system/a: warning: spec.egress[0].hosts[1]: ${no} has host a.test: "./a.test"`,
    ]);
  });

  it.each(['*/*', './*', '~/*', '*/*.example.com', 'istio-system/*'])(
    '%s needs nothing',
    (host) => {
      expect(world(sidecar('a', { egress: [{ hosts: [host] }] })).problems()).toEqual([]);
    },
  );

  it('is told of 20 times at most', () => {
    const hosts = Array.from({ length: 30 }, (_, at) => `n${at}/*`);
    expect(world(sidecar('a', { egress: [{ hosts }] })).problems()).toHaveLength(20);
  });
});
