import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bySpecificity, isSubsetOf, mostSpecific, overlaps } from '../../src/assembly/hosts.ts';
import { sameData } from '../../src/assembly/equal.ts';
import { localityPlan, type Placed } from '../../src/assembly/priorities.ts';
import { noLocality } from '../../src/assembly/cluster-facts.ts';
import type { ShareKey } from '../../src/assembly/localities.ts';
import { trafficFor } from '../../src/assembly/traffic.ts';
import { TrafficPolicy } from '@watershed/model/gen/model.ts';

const label = fc.constantFrom('a', 'b', 'com');
const exact = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
const wildcard = fc.oneof(
  fc.constant('*'),
  exact.map((host) => `*.${host}`),
);
const host = fc.oneof(exact, wildcard);

describe('hosts', () => {
  test('cover one another exactly where every name of one is a name of the other', () => {
    fc.assert(
      fc.property(host, host, exact, (a, b, name) => {
        if (isSubsetOf(a, b) && isSubsetOf(name, a)) expect(isSubsetOf(name, b)).toBe(true);
        expect(overlaps(a, b)).toBe(overlaps(b, a));
      }),
    );
  });

  test('the most specific of many is one that covers, with none between', () => {
    fc.assert(
      fc.property(fc.uniqueArray(host), exact, (hosts, name) => {
        const wildcards = hosts.filter((one) => one.startsWith('*')).sort(bySpecificity);
        const found = mostSpecific(
          name,
          new Map(hosts.filter((one) => !one.startsWith('*')).map((one) => [one, one])),
          wildcards.map((one) => [one, one] as const),
        );
        const covering = hosts.filter((one) => isSubsetOf(name, one)).sort(bySpecificity);
        expect(found).toBe(covering[0]);
      }),
    );
  });
});

describe('equality of data', () => {
  test('holds for what is written alike, and for nothing else', () => {
    fc.assert(
      fc.property(fc.object(), fc.object(), (a, b) => {
        expect(sameData(a, structuredClone(a))).toBe(true);
        if (sameData(a, b)) expect(a).toEqual(b);
      }),
    );
  });
});

function placed(locality: string, weight: number, rank = 0): Placed {
  const share = { locality } as ShareKey;
  return { share, weight, rank };
}

const place = fc
  .tuple(fc.constantFrom('eu', 'us'), fc.constantFrom('a', 'b'), fc.constantFrom('', 'r'))
  .map((parts) => parts.join('/'));

describe('priorities by locality', () => {
  test('start at 0, leave none out, and put nothing that is farther before what is nearer', () => {
    const all = fc.uniqueArray(place, { minLength: 1 });
    fc.assert(
      fc.property(all, place, (localities, proxy) => {
        const facts = { ...noLocality, failover: true };
        const plan = localityPlan(
          localities.map((one) => placed(one, 1)),
          facts,
          proxy,
        );
        const levels = [...new Set(plan.map((one) => one.priority))].sort((a, b) => a - b);
        expect(levels).toEqual(levels.map((_, at) => at));
        const common = (locality: string): number => {
          const [a, b] = [locality.split('/'), proxy.split('/')];
          const differs = a.findIndex((part, at) => part !== b[at]);
          return differs < 0 ? 3 : differs;
        };
        for (const one of plan) {
          for (const other of plan) {
            if (common(one.share.locality) > common(other.share.locality)) {
              expect(one.priority).toBeLessThan(other.priority);
            }
          }
        }
      }),
    );
  });

  test('shares are split over the localities that one pattern covers, by their weight', () => {
    const facts = {
      ...noLocality,
      distribute: [{ from: 'eu/*', to: { 'eu/a/*': 70, 'us/*': 30 } }],
    };
    const all = [
      placed('eu/a/r1', 1),
      placed('eu/a/r2', 3),
      placed('eu/b/', 9),
      placed('us/a/', 5),
    ];
    const plan = localityPlan(all, facts, 'eu/b/');
    expect(plan.map((one) => [one.share.locality, one.weight])).toEqual([
      ['eu/a/r1', 18],
      ['eu/a/r2', 53],
      ['us/a/', 30],
    ]);
  });

  test('who is in no rule has the weights of the endpoints', () => {
    const facts = { ...noLocality, distribute: [{ from: 'us/*', to: { 'us/*': 100 } }] };
    const plan = localityPlan([placed('eu/a/', 4)], facts, 'eu/a/');
    expect(plan.map((one) => [one.priority, one.weight])).toEqual([[0, 4]]);
  });
});

describe('what a policy says for a port of a subset', () => {
  const policy = (json: object): TrafficPolicy => TrafficPolicy.fromJSON(json);
  const merged = (traffic: TrafficPolicy | undefined) => ({
    keys: ['k'],
    traffic,
    subsets: [],
    selective: false,
  });

  test('a port inherits nothing from its host', () => {
    const top = policy({
      connectionPool: { maxConnections: 1 },
      proxyProtocol: 'PROXY_PROTOCOL_V1',
      ports: [{ port: 80, traffic: { outlierDetection: {} } }],
    });
    const traffic = trafficFor(merged(top), 80, undefined);
    expect(traffic.connectionPool).toBeUndefined();
    expect(traffic.outlierDetection).toBeDefined();
    expect(traffic.proxyProtocol).toBe(0);
    expect(trafficFor(merged(top), 81, undefined).connectionPool?.maxConnections).toBe(1);
  });

  test('a subset takes from its host what it does not say itself', () => {
    const top = policy({ connectionPool: { maxConnections: 1 }, outlierDetection: {} });
    const traffic = policy({ connectionPool: { maxConnections: 2 } });
    const subset = { name: 'v1', labels: {}, traffic };
    const found = trafficFor(merged(top), 80, subset);
    expect(found.connectionPool?.maxConnections).toBe(2);
    expect(found.outlierDetection).toBeDefined();
  });

  test("a subset's port stands in place of all", () => {
    const top = policy({ outlierDetection: {} });
    const traffic = policy({ ports: [{ port: 80, traffic: { connectionPool: {} } }] });
    const found = trafficFor(merged(top), 80, { name: 'v1', labels: {}, traffic });
    expect(found.outlierDetection).toBeUndefined();
  });
});
