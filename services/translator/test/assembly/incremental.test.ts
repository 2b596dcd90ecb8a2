import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { goldens, outcome, type Golden } from './support/golden.ts';
import { scopeOf, World, type Given } from './support/world.ts';

describe('what a scope gets', () => {
  for (const golden of goldens()) {
    test(`is the same whatever the order of events and whatever was there before: ${golden.what}`, () => {
      const { given } = golden;
      const order = fc.shuffledSubarray([...given.keys()], { minLength: given.length });
      const gone = fc.subarray([...given.keys()]);
      fc.assert(
        fc.property(order, gone, fc.infiniteStream(fc.boolean()), (order, gone, looks) => {
          const world = new World();
          const step = (events: readonly Given[]): void => {
            for (const event of events) {
              world.give(event);
              if (looks.next().value === true) lookAll(world, golden);
            }
          };
          step(order.flatMap((at) => given[at] ?? []));
          step(gone.flatMap((at) => tombstone(given[at])));
          const actual = outcome(golden, world);
          expect(JSON.parse(JSON.stringify(actual))).toEqual(golden.expected);
        }),
        { numRuns: 6 },
      );
    });
  }
});

function tombstone(given: Given | undefined): readonly Given[] {
  if (given === undefined) return [];
  const { value: _value, ...key } = given;
  return [key];
}

function lookAll(world: World, golden: Golden): void {
  for (const fields of Object.values(golden.scopes)) world.look(scopeOf(fields));
}

const web = 'web.shop.svc.cluster.local';

function service(namespace: string, name: string, fields: object = {}): Given {
  const value = {
    host: `${name}.${namespace}.svc.cluster.local`,
    namespace,
    name,
    exportTo: ['*'],
    addresses: ['10.0.0.1'],
    selector: { app: name },
    ports: [{ number: 80, name: 'http', protocol: 'PROTOCOL_HTTP' }],
    ...fields,
  };
  return { kind: 'service', namespace, name, value };
}

function slice(host: string, namespace: string, endpoints: readonly object[]): Given {
  const value = { host, namespace, endpoints };
  return { kind: 'endpoints', namespace, name: `${host}/a`, value };
}

function endpoint(last: number, zone: string, fields: object = {}): object {
  return {
    address: `10.1.0.${last}`,
    ports: { http: 8080 },
    locality: { region: 'eu', zone },
    ...fields,
  };
}

function policy(namespace: string, name: string, host: string, traffic: object): Given {
  const value = { host, exportTo: ['*'], traffic };
  return { kind: 'policy', namespace, name, value };
}

function shop(): World {
  const world = new World();
  world.give(
    service('shop', 'web'),
    service('shop', 'cart'),
    service('bank', 'ledger'),
    slice(web, 'shop', [endpoint(1, 'a'), endpoint(2, 'a'), endpoint(3, 'b')]),
    slice('cart.shop.svc.cluster.local', 'shop', [endpoint(4, 'a')]),
    policy('shop', 'web', web, { connectionPool: { maxConnections: 1 } }),
  );
  world.look(scopeOf({ namespace: 'shop', labels: { app: 'web' } }));
  world.look(scopeOf({ namespace: 'bank' }));
  return world;
}

const silence = { changed: [], generated: {} };

describe('a change costs what it changes:', () => {
  test('one endpoint is one locality of the clusters that it is in', () => {
    const world = shop();
    const all = [endpoint(1, 'a'), endpoint(9, 'a'), endpoint(3, 'b')];
    expect(world.during(() => world.give(slice(web, 'shop', all)))).toEqual({
      changed: [`shared ClusterLoadAssignment outbound|80||${web}`],
      generated: { 'locality-endpoints': 1 },
    });
  });

  test('labels and identities that nothing reads are nothing', () => {
    const world = shop();
    const all = [endpoint(1, 'a', { labels: { hash: 'x' } }), endpoint(2, 'a'), endpoint(3, 'b')];
    expect(world.during(() => world.give(slice(web, 'shop', all)))).toEqual(silence);
  });

  test('a rule is the clusters of its host, for all scopes at once, and no set', () => {
    const world = shop();
    const changed = policy('shop', 'web', web, {
      connectionPool: { maxConnections: 1 },
      loadBalancer: { algorithm: 'LB_ALGORITHM_RANDOM' },
    });
    expect(world.during(() => world.give(changed))).toEqual({
      changed: [`shared Cluster outbound|80||${web}`],
      generated: { cluster: 1 },
    });
  });

  test('a rule for a host that nobody has is nothing', () => {
    const world = shop();
    const other = policy('shop', 'other', 'other.example.com', { outlierDetection: {} });
    expect(world.during(() => world.give(other))).toEqual(silence);
  });

  test('a label of a service, and who selects what in another namespace, are nothing', () => {
    const world = shop();
    const relabelled = service('bank', 'ledger', { labels: { team: 'x' }, selector: { app: 'y' } });
    expect(world.during(() => world.give(relabelled))).toEqual(silence);
  });

  test('a new service touches the sets and tables that see it, and nothing else that they had', () => {
    const world = shop();
    const { changed, generated } = world.during(() => world.give(service('bank', 'new')));
    const table = 'shared RouteConfiguration 80';
    expect(changed).toEqual(['manifest ', 'manifest ', table, table]);
    // Clients of its own namespace know it by a shorter name.
    expect(generated).toEqual({ 'virtual-host': 2 });
  });

  test('a service that is exported to one namespace is seen by its clients alone', () => {
    const world = shop();
    const hidden = service('bank', 'hidden', { exportTo: ['bank'] });
    expect(world.during(() => world.give(hidden)).changed).toEqual(['manifest ']);
  });

  test('a setting of access logs touches no cluster', () => {
    const world = shop();
    const mesh: Given = {
      kind: 'mesh',
      name: 'default',
      value: {
        accessLogFile: '/dev/stderr',
        connectTimeoutMs: 10_000,
        autoMtls: true,
        rootNamespace: 'istio-system',
        trustDomain: 'cluster.local',
        proxyListenPort: 15_001,
        proxyInboundListenPort: 15_006,
      },
    };
    const { changed, generated } = world.during(() => world.give(mesh));
    expect(changed.filter((one) => one.includes('Cluster'))).toEqual([]);
    expect(generated['cluster']).toBeUndefined();
  });
});

describe('scopes share', () => {
  test('clusters, assignments and listeners, where nothing tells them apart', () => {
    const world = shop();
    const of = (namespace: string): readonly string[] =>
      world
        .look(scopeOf({ namespace }))
        .resources.filter(({ key }) => !key.typeUrl.endsWith('RouteConfiguration'))
        .filter(({ key }) => key.name !== 'virtualInbound')
        .map(({ key }) => `${key.name} ${key.variant}`);
    expect(of('other')).toEqual(of('another'));
  });

  test('everything but what a client of a namespace chose for itself', () => {
    const world = shop();
    world.give(policy('bank', 'own', web, { connectionPool: { maxConnections: 5 } }));
    const of = (namespace: string): readonly string[] =>
      world
        .look(scopeOf({ namespace }))
        .resources.filter(({ key }) => key.typeUrl.endsWith('Cluster'))
        .map(({ key }) => `${key.name} ${key.variant}`);
    const shared = new Set(of('other'));
    expect(of('bank').filter((one) => !shared.has(one))).toEqual([
      `outbound|80||${web} s=shop;p=c1|policy|bank|own`,
    ]);
  });
});
