/** Hosts of a ServiceEntry that something else of its namespace has. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const host = 'api.shop.svc.cluster.local';
const service: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'api', namespace: 'shop' },
  spec: { ports: [{ port: 80 }] },
};

function entry(name: string, rest: object = {}, metadata: object = {}): RawObject {
  const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name, namespace: 'shop', ...metadata },
    spec: { hosts: [host], ports, resolution: 'DNS', ...rest },
  };
}

function told(...objects: readonly RawObject[]): readonly string[] {
  const all = new Objects();
  for (const one of objects) all.put(one);
  return all.problems();
}

const lost = (name: string, reason: string, given = host): string =>
  `ServiceEntry shop/${name}: warning: spec.hosts[0]: its ports and settings do not count: ${reason}: "${given}"`;
const by = (name: string, why = 'by namespace and name'): string =>
  `ServiceEntry shop/${name} has it with another resolution, exportTo or workloadSelector, and goes first (${why})`;

describe('a host of a ServiceEntry', () => {
  it("is a Service's", () => {
    expect(told(entry('a'), service)).toEqual([lost('a', 'it is that of Service shop/api')]);
  });

  const other = { resolution: 'NONE' };

  it('is that of the older ServiceEntry, else of the first by its record', () => {
    const old = entry('b', other, { creationTimestamp: '2026-01-01T00:00:00Z' });
    const young = entry('a', {}, { creationTimestamp: '2026-01-02T00:00:00Z' });
    expect(told(young, old)).toEqual([lost('a', by('b', 'it is older'))]);
    expect(told(entry('a'), entry('b', other))).toEqual([lost('b', by('a'))]);
    // `a-b:` stands before `a:`.
    expect(told(entry('a'), entry('a-b', other))).toEqual([lost('a', by('a-b'))]);
  });

  it('is the same in other letters, and with a dot at the end', () => {
    const given = 'API.shop.svc.cluster.local.';
    const second = entry('b', { ...other, hosts: [given] });
    expect(told(entry('a'), second)).toEqual([lost('b', by('a'), given)]);
  });

  it.each([
    ['they are alike', entry('a'), entry('b', { ports: [{ number: 81, name: 'b' }] })],
    ['they are of two namespaces', entry('a'), entry('b', other, { namespace: 'pay' })],
    ['the first one is for fewer', entry('a', { exportTo: ['.'] }), entry('b', other)],
    ['the hosts differ', entry('a'), entry('b', { ...other, hosts: ['b.example.com'] })],
  ])('is of both where %s', (_, first, second) => {
    const problems = told(first, second);
    expect(problems.filter((line) => line.includes('do not count'))).toEqual([]);
  });
});
