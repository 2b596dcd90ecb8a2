/** Matches that another HTTPRoute has too: what is told of them. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const apiVersion = 'gateway.networking.k8s.io/v1';
const surroundings = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: ours }
spec: { controllerName: watershed.dev/gateway-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge, namespace: infra }
spec:
  gatewayClassName: ours
  listeners:
    - { name: http, port: 80, protocol: HTTP, allowedRoutes: { namespaces: { from: All } } }
    - { name: own, port: 81, protocol: HTTP, allowedRoutes: { namespaces: { from: Same } } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { ports: [{ port: 80 }] }
`;
const edge = { name: 'edge', namespace: 'infra' };
const web = { group: '', kind: 'Service', name: 'web', namespace: 'shop' };
const cart = { path: { value: '/cart' }, method: 'GET' };

interface Rest {
  readonly namespace?: string;
  /** Of a month. */
  readonly day?: number;
  readonly match?: object;
  readonly [field: string]: unknown;
}

function route(name: string, rest: Rest = {}): RawObject {
  const { namespace = 'shop', day, match = cart, ...spec } = rest;
  const age = day === undefined ? {} : { creationTimestamp: `2026-01-0${day}T00:00:00Z` };
  const rules = [{ matches: [match], backendRefs: [{ name: 'web', port: 80 }] }];
  return {
    apiVersion,
    kind: 'HTTPRoute',
    metadata: { name, namespace, ...age },
    spec: { parentRefs: [edge], hostnames: ['shop.example.com'], rules, ...spec },
  };
}

function world(...objects: readonly RawObject[]): Objects {
  const all = new Objects().apply(surroundings);
  for (const one of objects) all.put(one);
  return all;
}

function told(objects: Objects): readonly string[] {
  return objects.problems().filter((line) => line.includes('takes no request'));
}

const byName = 'by namespace and name';
const edgeHost = 'host shop.example.com of Gateway infra/edge';
const lost = (name: string, winner: string, why = byName, where = edgeHost): string =>
  `HTTPRoute shop/${name}: warning: spec.rules[0].matches[0]: takes no request for ${where}: ` +
  `HTTPRoute ${winner} has the same match and goes first (${why}): "PathPrefix /cart"`;

const headers = [
  { name: 'A', value: '1' },
  { name: 'b', value: '2' },
];
const others = [
  { name: 'B', value: '2' },
  { name: 'a', value: '1' },
];

describe('a match that stands twice in one HTTPRoute', () => {
  it('is that of the first rule', () => {
    const backendRefs = [{ name: 'web', port: 80 }];
    const other = { path: { value: '/other' } };
    const rules = [
      { matches: [other, cart], backendRefs },
      { matches: [{ ...cart, path: { value: '/cart/' } }], backendRefs },
    ];
    expect(told(world(route('a', { rules })))).toEqual([
      'HTTPRoute shop/a: warning: spec.rules[1].matches[0]: takes no request: ' +
        'spec.rules[0].matches[1] is the same match and goes first: "PathPrefix /cart/"',
    ]);
  });
});

describe('a match that two HTTPRoutes have', () => {
  it('is of the older one', () => {
    const objects = world(route('a', { day: 2 }), route('b', { day: 1 }));
    expect(told(objects)).toEqual([lost('a', 'shop/b', 'it is older')]);
  });

  it('is of the first by name where they are of one age, and of the other when that has gone', () => {
    const first = route('a');
    const objects = world(first, route('b'), route('c'));
    expect(told(objects)).toEqual([lost('b', 'shop/a'), lost('c', 'shop/a')]);
    objects.remove(first);
    expect(told(objects)).toEqual([lost('c', 'shop/b')]);
    objects.put(route('b', { match: { path: { value: '/other' } } }));
    expect(told(objects)).toEqual([]);
  });

  it.each([
    [
      'headers in another order and other letters',
      { ...cart, headers },
      { ...cart, headers: others },
    ],
    ['a slash at the end of its prefix', cart, { ...cart, path: { value: '/cart/' } }],
  ])('is the same with %s', (_, first, second) => {
    const objects = world(route('b', { match: first }), route('a', { match: second }));
    expect(told(objects)).toEqual([lost('b', 'shop/a')]);
  });

  it.each([
    ['of another method', { match: { ...cart, method: 'POST' } }],
    ['of another kind of path', { match: { ...cart, path: { type: 'Exact', value: '/cart' } } }],
    ['of another host', { hostnames: ['other.example.com'] }],
    ['at another gateway', { parentRefs: [{ name: 'inner' }] }],
    ['at a listener that does not allow it', { parentRefs: [{ ...edge, sectionName: 'own' }] }],
  ])('is of both where the first is %s', (_, first) => {
    expect(told(world(route('a', first), route('b')))).toEqual([]);
  });

  it('is of the one that the listener allows, and of both where the allowed ones differ', () => {
    const infra = route('a', { namespace: 'infra' });
    expect(told(world(infra, route('b')))).toEqual([lost('b', 'infra/a')]);
    // It is at one more listener than the other, and taken there.
    const wider = route('z', { namespace: 'infra' });
    expect(told(world(wider, route('b', { namespace: 'aside' })))).toEqual([]);
  });

  it('is of one at a Service too, where they are of one namespace', () => {
    const mesh = { parentRefs: [web], hostnames: [] };
    const objects = world(
      route('a', mesh),
      route('b', mesh),
      route('c', { ...mesh, namespace: 'x' }),
    );
    expect(told(objects)).toEqual([lost('b', 'shop/a', byName, 'Service shop/web')]);
    const onPort = { ...mesh, parentRefs: [{ ...web, port: 80 }] };
    expect(told(world(route('a', onPort), route('b', mesh)))).toEqual([]);
    expect(told(world(route('a', mesh), route('b', onPort)))).toEqual([
      lost('b', 'shop/a', byName, 'Service shop/web'),
    ]);
  });

  it('is told of 20 times at most', () => {
    const matches = Array.from({ length: 30 }, (_, at) => ({ path: { value: `/${at}` } }));
    const rules = [{ matches, backendRefs: [] }];
    expect(told(world(route('a', { rules }), route('b', { rules })))).toHaveLength(20);
  });
});
