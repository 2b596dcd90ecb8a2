import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resourceTypes } from '@watershed/proto/any.ts';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { bySpecificMatch, catchAllsLast, upToCatchAll } from '../../src/assembly/precedence.ts';
import { shortNames } from '../../src/assembly/routes-domains.ts';
import type { RuleArgument } from '../../src/generators/virtual-host.ts';
import { scopeOf, World, type Given } from './support/world.ts';

function tables(world: World, fields: Parameters<typeof scopeOf>[0]): RouteConfiguration[] {
  return world
    .look(scopeOf(fields))
    .resources.filter(({ key }) => key.typeUrl === resourceTypes.route)
    .map(({ bytes }) => RouteConfiguration.decode(bytes));
}

const router = { namespace: 'edge', type: 'PROXY_TYPE_ROUTER', labels: { app: 'edge' } } as const;

// ---------------------------------------------------------------- what Envoy would refuse

const label = fc.constantFrom('a', 'b', 'svc', 'local');
const namespace = fc.constantFrom('a', 'b', 'shop');
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const host = fc.oneof(
  name,
  fc.tuple(label, namespace).map(([one, ns]) => `${one}.${ns}.svc.cluster.local`),
  name.map((rest) => `*.${rest}`),
  fc.constant('*'),
);
const address = fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1', '0.0.0.0', '10.0.0.0/8');
const port = fc.constantFrom(80, 8080).chain((number) =>
  fc.constantFrom('PROTOCOL_HTTP', 'PROTOCOL_AUTO', 'PROTOCOL_TCP').map((protocol) => {
    return { number, name: `p${number}`, protocol };
  }),
);
const ports = fc.uniqueArray(port, { minLength: 1, maxLength: 2, selector: (one) => one.number });

const service = fc
  .record({ host, namespace, ports, headless: fc.boolean(), createdMs: fc.nat(3) })
  .chain((value) =>
    fc.array(address, { maxLength: 2 }).map((all) => ({ ...value, addresses: all })),
  )
  .map((value): Given => {
    const id = value.host.replace('*', 'any');
    return {
      kind: 'service',
      namespace: value.namespace,
      name: id,
      value: { ...value, name: id, exportTo: ['*'] },
    };
  });

const parent = fc.oneof(
  fc.constant({ mesh: true }),
  fc.constant({ gateway: { namespace: 'edge', name: 'one' } }),
  host.map((serviceHost) => ({ serviceHost })),
);
const route = fc
  .record({
    namespace,
    name: fc.constantFrom('r1', 'r2', 'r3'),
    hosts: fc.array(host, { maxLength: 3 }),
    parents: fc.array(parent, { minLength: 1, maxLength: 2 }),
    bySpecificity: fc.boolean(),
    createdMs: fc.nat(3),
    exported: fc.boolean(),
  })
  .map(({ exported, namespace: ns, name: id, ...rest }): Given => {
    const exportTo = exported ? ['*'] : [ns];
    const rules = [{ directResponse: { status: 200 } }];
    return { kind: 'route', namespace: ns, name: id, value: { ...rest, exportTo, rules } };
  });

const listener = (number: number, hosts: readonly string[]) => ({
  name: `p${number}`,
  port: number,
  protocol: 'PROTOCOL_HTTP',
  hosts: hosts.map((one) => ({ namespace: '*', host: one })),
});
const gateway: Given = {
  kind: 'gateway',
  namespace: 'edge',
  name: 'one',
  value: {
    selector: { app: 'edge' },
    listeners: [
      listener(80, ['*', '*.a', 'a.b', '*']),
      { ...listener(80, ['b.b', '*.b']), tls: { httpsRedirect: true } },
      listener(81, ['*.svc.cluster.local']),
    ],
  },
};
const proxy: Given = {
  kind: 'scope',
  namespace: 'shop',
  name: 'proxy',
  value: {
    egress: [
      { port: 3128, protocol: 'PROTOCOL_HTTP_PROXY', hosts: [{ namespace: '*', host: '*' }] },
      { hosts: [{ namespace: '*', host: '*' }] },
    ],
  },
};

describe('in any route table', () => {
  test('no domain and no name of a virtual host stands twice, whatever services and routes say', () => {
    const services = fc.array(service, { maxLength: 6 });
    const routes = fc.array(route, { maxLength: 5 });
    fc.assert(
      fc.property(services, routes, (given, more) => {
        const world = new World();
        world.give(gateway, proxy, ...given, ...more);
        const scopes = [{ namespace: 'a' }, { namespace: 'b' }, { namespace: 'shop' }, router];
        for (const table of scopes.flatMap((scope) => tables(world, scope))) {
          const names = table.virtualHosts.map((one) => one.name);
          const domains = table.virtualHosts.flatMap((one) => one.domains);
          expect(new Set(names).size, `${table.name}: ${names.join(' ')}`).toBe(names.length);
          expect(new Set(domains).size, `${table.name}: ${domains.join(' ')}`).toBe(domains.length);
          expect(table.virtualHosts.every((one) => one.domains.length > 0)).toBe(true);
        }
      }),
      { numRuns: 150 },
    );
  });
});

// ---------------------------------------------------------------- names and order

describe('a service is called', () => {
  test.each([
    ['web.shop.svc.cluster.local', 'shop.svc.cluster.local', 'web web.shop web.shop.svc'],
    ['web.shop.svc.cluster.local', 'pay.svc.cluster.local', 'web.shop web.shop.svc'],
    ['web.shop.svc.other.local', 'shop.svc.cluster.local', ''],
    ['pod.web.shop.svc.cluster.local', 'shop.svc.cluster.local', ''],
    ['api.example.com', 'shop.svc.cluster.local', ''],
    ['foo.local.campus.net', 'local.campus.net', 'foo'],
    ['foo.local.campus.net', 'remote.campus.net', 'foo.local foo.local.campus'],
    ['foo.local.campus.net', 'example.com', ''],
  ])('%s by clients of %s as %j, too', (full, domain, short) => {
    expect(shortNames(full, domain)).toEqual([`${full}.`, ...short.split(' ').filter(Boolean)]);
  });

  test('10.0.0.1 by that alone', () => {
    expect(shortNames('10.0.0.1', 'shop.svc.cluster.local')).toEqual([]);
  });
});

function rule(label: string, ...paths: readonly string[]): RuleArgument {
  const none = { fault: undefined, cors: undefined };
  const match = (path: string): RuleArgument['matches'][number] => ({
    path: { match: { $case: 'prefix', value: path } },
    scheme: undefined,
    method: undefined,
    authority: undefined,
    headers: [],
    queryParams: [],
    ignorePathCase: false,
  });
  return {
    name: label,
    matches: paths.map(match),
    action: { kind: 'respond', respond: { status: 200, body: '' } },
    requestHeaders: undefined,
    responseHeaders: undefined,
    ...none,
  };
}

function shown(rules: readonly RuleArgument[]): string[] {
  return rules.map(({ name: label, matches }) => {
    const paths = matches.map(({ path }) => path?.match?.value);
    return [label, ...paths].join(' ');
  });
}

describe('rules', () => {
  test('behind a match of everything are not there', () => {
    const rules = [rule('a', '/a'), rule('b', '/b', '/', '/never'), rule('c', '/c')];
    expect(shown(upToCatchAll(rules))).toEqual(['a /a', 'b /b /']);
  });

  test('of several routes do not hide one another', () => {
    const rules = [rule('a', '/a', '/'), rule('b'), rule('c', '/c')];
    expect(shown(catchAllsLast(rules))).toEqual(['a /a', 'c /c', 'a /', 'b']);
  });

  test('are the same whatever order the Gateway API’s routes come in, if none ties', () => {
    const paths = fc.uniqueArray(fc.constantFrom('/', '/a', '/a/b', '/longer', '/long'));
    fc.assert(
      fc.property(
        paths.chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, fullOf(all)))),
        ([all, shuffled]) => {
          const sorted = (some: readonly string[]): string[] =>
            shown(bySpecificMatch(some.map((path) => rule('r', path))));
          const unique = new Set(all.map((path) => path.length)).size === all.length;
          fc.pre(unique);
          expect(sorted(shuffled)).toEqual(sorted(all));
        },
      ),
    );
  });
});

function fullOf(all: readonly string[]): { minLength: number; maxLength: number } {
  return { minLength: all.length, maxLength: all.length };
}

// ---------------------------------------------------------------- what a change costs

const web = 'web.shop.svc.cluster.local';

function ofService(id: string): Given {
  const value = { host: `${id}.shop.svc.cluster.local`, namespace: 'shop', name: id };
  const ports = [{ number: 80, name: 'http', protocol: 'PROTOCOL_HTTP' }];
  return {
    kind: 'service',
    namespace: 'shop',
    name: id,
    value: { ...value, ports, exportTo: ['*'] },
  };
}

function shop(): World {
  const world = new World();
  world.give(gateway, ofService('web'), ofService('cart'), meshRoute(1), ...edge.map(edgeRoute));
  world.look(scopeOf({ namespace: 'shop' }));
  world.look(scopeOf({ namespace: 'pay' }));
  world.look(scopeOf(router));
  return world;
}

const edge = ['one', 'two', 'three'];

function edgeRoute(id: string): Given {
  return routeOf(id, [`${id}.example.com`], { gateway: { namespace: 'edge', name: 'one' } }, 200);
}

function meshRoute(timeoutMs: number): Given {
  return routeOf('web', [web], { mesh: true }, 200, { timeoutMs });
}

function routeOf(
  id: string,
  hosts: readonly string[],
  to: object,
  status: number,
  fields: object = {},
): Given {
  const forward = { backends: [{ host: web, port: 80, weight: 100 }] };
  const rules = [{ name: String(status), forward, ...fields }];
  const value = { hosts, parents: [to], exportTo: ['*'], rules };
  return { kind: 'route', namespace: 'shop', name: id, value };
}

/** What a router's set has generated while `work` runs. */
function generatedFor(world: World, work: () => void): Record<string, number> {
  const before = new Map(world.ran);
  work();
  world.look(scopeOf(router));
  const counts = [...world.ran].map(([id, count]) => [id, count - (before.get(id) ?? 0)] as const);
  return Object.fromEntries(counts.filter(([, count]) => count > 0));
}

describe('a change costs what it changes:', () => {
  test('a route is one virtual host for clients everywhere, and their tables', () => {
    const table = 'shared RouteConfiguration 80';
    const world = shop();
    const { changed, generated } = world.during(() => world.give(meshRoute(2)));
    expect(changed).toEqual([table, table]);
    // Clients of its namespace have a shorter name for it.
    expect(generated).toEqual({ 'virtual-host': 2 });
  });

  test('a route of a gateway is one virtual host among those of its table', () => {
    const world = shop();
    const made = generatedFor(world, () => {
      const to = { gateway: { namespace: 'edge', name: 'one' } };
      world.give(routeOf('two', ['two.example.com'], to, 201));
    });
    expect(made).toEqual({ 'virtual-host': 1 });
  });

  test('a route of a gateway touches no sidecar', () => {
    const world = shop();
    const { changed } = world.during(() => {
      const to = { gateway: { namespace: 'edge', name: 'one' } };
      world.give(routeOf('four', ['four.example.com'], to, 200));
    });
    expect(changed).toEqual(['manifest ']);
  });

  test('endpoints are nothing to routes', () => {
    const world = shop();
    const value = {
      host: web,
      namespace: 'shop',
      endpoints: [{ address: '10.1.0.1', ports: { http: 8080 } }],
    };
    const given: Given = { kind: 'endpoints', namespace: 'shop', name: `${web}/a`, value };
    const { changed } = world.during(() => world.give(given));
    expect(changed.filter((one) => one.includes('Route'))).toEqual([]);
  });

  test('of a rule for a host only the hash is something to routes', () => {
    const world = shop();
    const policy = (traffic: object): Given => {
      const value = { host: web, exportTo: ['*'], traffic };
      return { kind: 'policy', namespace: 'shop', name: 'web', value };
    };
    const first = world.during(() => world.give(policy({ connectionPool: { maxConnections: 1 } })));
    expect(first.generated['virtual-host']).toBeUndefined();
    const balancer = { loadBalancer: { hash: { header: 'x-user' } } };
    const second = world.during(() => world.give(policy(balancer)));
    expect(second.generated['virtual-host']).toBe(2);
  });
});
