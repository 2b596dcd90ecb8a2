/** What a DestinationRule says that another one has said before it: what is told of it. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const host = 'web.shop.svc.cluster.local';
const random = { loadBalancer: { simple: 'RANDOM' } };
const limited = {
  loadBalancer: { simple: 'LEAST_REQUEST' },
  connectionPool: { http: { http2MaxRequests: 7 } },
};
const v1 = { name: 'v1', labels: { version: 'v1' } };
const v2 = { name: 'v2', labels: { version: 'v2' } };

interface Rest {
  readonly namespace?: string;
  /** Of the year 2026. */
  readonly day?: number;
  readonly [field: string]: unknown;
}

function rule(name: string, rest: Rest = {}): RawObject {
  const { namespace = 'shop', day, ...spec } = rest;
  const creationTimestamp = day === undefined ? undefined : `2026-01-0${day}T00:00:00Z`;
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name, namespace, ...(day === undefined ? {} : { creationTimestamp }) },
    spec: { host, ...spec },
  };
}

function world(...rules: readonly RawObject[]): Objects {
  const all = new Objects();
  const spec = { ports: [{ port: 80 }] };
  all.put({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'shop' },
    spec,
  });
  for (const one of rules) all.put(one);
  return all;
}

const byName = 'by namespace and name';
const noPolicy = (name: string, first: string, why = byName, given = host): string =>
  `DestinationRule shop/${name}: warning: spec.trafficPolicy: has no effect: DestinationRule shop/${first} ` +
  `has a traffic policy for host ${host} too, and goes first (${why}): "${given}"`;
const noSubset = (name: string, index: number, first: string, subset: string): string =>
  `DestinationRule shop/${name}: warning: spec.subsets[${index}]: has no effect: DestinationRule shop/${first} ` +
  `has this subset for host ${host} too, and goes first (${byName}): "${subset}"`;

describe('the traffic policy of a host that two DestinationRules have', () => {
  const [a, b] = [{ trafficPolicy: random }, { trafficPolicy: limited }];

  it.each([
    ['by name, where their age says nothing', [rule('a', a), rule('b', b)], noPolicy('b', 'a')],
    [
      'the older one',
      [rule('a', { day: 2, ...a }), rule('b', { day: 1, ...b })],
      noPolicy('a', 'b', 'it is older'),
    ],
    [
      'also in another form of its name',
      [rule('a', { host: 'WEB.shop.svc.cluster.local.', ...a }), rule('b', { host: 'web', ...b })],
      noPolicy('b', 'a', byName, 'web'),
    ],
    [
      'of those for the same namespaces, in whatever order',
      [rule('a', { exportTo: ['.', 'x'], ...a }), rule('b', { exportTo: ['x', 'shop'], ...b })],
      noPolicy('b', 'a'),
    ],
    [
      'of those for all, said or not',
      [rule('a', { exportTo: ['*'], ...a }), rule('b', b)],
      noPolicy('b', 'a'),
    ],
  ])('is of one: %s', (_, rules, told) => {
    expect(world(...rules).problems()).toEqual([told]);
  });

  it.each([
    ['has none', {}],
    ['is for fewer namespaces', { exportTo: ['.'], ...a }],
    ['is for some workloads', { workloadSelector: { matchLabels: { app: 'x' } }, ...a }],
    ['is of another namespace', { namespace: 'infra', ...a }],
    ['is for a wildcard', { host: '*.shop.svc.cluster.local', ...a }],
  ])('is of both where the first %s', (_, first) => {
    expect(world(rule('a', first), rule('b', b)).problems()).toEqual([]);
  });

  it('is of both where the second is for fewer namespaces or some workloads', () => {
    const fewer = rule('b', { exportTo: ['.'], ...b });
    const some = rule('c', { workloadSelector: { matchLabels: { app: 'x' } }, ...b });
    expect(world(rule('a', a), fewer, some).problems()).toEqual([]);
  });

  it('may be of the second, too, for clients of a rule between them for fewer namespaces', () => {
    const both = ['.', 'x'];
    const between = (exportTo: readonly string[]): RawObject => rule('ab', { exportTo });
    const [first, second] = [
      rule('a', { exportTo: both, ...a }),
      rule('b', { exportTo: both, ...b }),
    ];
    expect(world(first, between(['x']), second).problems()).toEqual([]);
    expect(world(first, between(['y']), second).problems()).toEqual([noPolicy('b', 'a')]);
  });

  it('is told to each that loses it, of the first that has it, and is over with it', () => {
    const [one, two, three] = [rule('a', a), rule('b', b), rule('c', b)];
    const objects = world(three, two, one);
    expect(objects.problems()).toEqual([noPolicy('c', 'a'), noPolicy('b', 'a')]);
    objects.remove(one);
    expect(objects.problems()).toEqual([noPolicy('c', 'b')]);
    objects.remove(two);
    expect(objects.problems()).toEqual([]);
  });
});

describe('a subset of a host that two DestinationRules have', () => {
  it('is of the first, while the second adds its other subsets and its traffic policy', () => {
    const first = rule('a', { subsets: [v1] });
    const second = rule('b', { trafficPolicy: random, subsets: [v2, { ...v2, name: 'v1' }] });
    expect(world(first, second).problems()).toEqual([noSubset('b', 1, 'a', 'v1')]);
  });

  it('is told of with the first that has it, which need not have the traffic policy', () => {
    const rules = [
      rule('a', { trafficPolicy: random }),
      rule('b', { subsets: [v1] }),
      rule('c', { trafficPolicy: limited, subsets: [v1] }),
    ];
    expect(world(...rules).problems()).toEqual([noPolicy('c', 'a'), noSubset('c', 0, 'b', 'v1')]);
  });

  it('is told of 20 times at most', () => {
    const subsets = Array.from({ length: 30 }, (_, at) => ({ ...v1, name: `v${at}` }));
    expect(world(rule('a', { subsets }), rule('b', { subsets })).problems()).toHaveLength(20);
  });
});
