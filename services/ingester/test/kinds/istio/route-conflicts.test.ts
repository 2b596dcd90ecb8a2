/** Routes of which another VirtualService leaves nothing: what is told of them. */
import { describe, expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const to = [{ destination: { host: 'web.shop.svc.cluster.local' } }];
const rule = { route: to };
const service: RawObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop' },
  spec: { ports: [{ port: 80 }] },
};

interface Rest {
  readonly namespace?: string;
  /** Of the year 2026. */
  readonly day?: number;
  readonly [field: string]: unknown;
}

function virtualService(name: string, rest: Rest = {}): RawObject {
  const { namespace = 'shop', day, ...spec } = rest;
  const creationTimestamp = day === undefined ? undefined : `2026-01-0${day}T00:00:00Z`;
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace, ...(day === undefined ? {} : { creationTimestamp }) },
    spec: { hosts: ['web'], http: [rule], ...spec },
  };
}

function world(...objects: readonly RawObject[]): Objects {
  const all = new Objects();
  for (const one of [service, ...objects]) all.put(one);
  return all;
}

const lost = (name: string, to: string, why: string): string =>
  `VirtualService shop/${name}: warning: spec.hosts[0]: has no effect on proxies that see ` +
  `VirtualService ${to}: it has host web.shop.svc.cluster.local in the mesh too, and goes first (${why}): "web"`;

const byName = 'by namespace and name';

describe('a host of the mesh that two VirtualServices have', () => {
  it.each([
    [
      'by name, where their age says nothing',
      [virtualService('a'), virtualService('b')],
      'b',
      'a',
      byName,
    ],
    [
      'the older one',
      [virtualService('a', { day: 2 }), virtualService('b', { day: 1 })],
      'a',
      'b',
      'it is older',
    ],
    [
      'also in another form of its name',
      [
        virtualService('a', { hosts: ['WEB.shop.svc.cluster.local.'], gateways: ['mesh'] }),
        virtualService('b'),
      ],
      'b',
      'a',
      byName,
    ],
    [
      'where a match is for the mesh by name',
      [
        virtualService('a', { http: [{ match: [{ gateways: ['mesh'] }], ...rule }] }),
        virtualService('b'),
      ],
      'b',
      'a',
      byName,
    ],
    [
      'of those that are for as many namespaces',
      [virtualService('a', { exportTo: ['.', 'x'] }), virtualService('b', { exportTo: ['.'] })],
      'b',
      'a',
      byName,
    ],
  ])('is of one: %s', (_, objects, loser, winner, why) => {
    expect(world(...objects).problems()).toEqual([lost(loser, `shop/${winner}`, why)]);
  });

  it.each([
    ['for another port only', { http: [{ match: [{ port: 8080 }], ...rule }] }],
    ['for some clients only', { http: [{ match: [{ sourceLabels: { a: 'b' } }], ...rule }] }],
    ['for a namespace only', { http: [{ match: [{ sourceNamespace: 'x' }], ...rule }] }],
    ['for a namespace only', { exportTo: ['.'] }],
    ['without a rule that counts', { http: [], tcp: [rule] }],
    ['for another host', { hosts: ['other'] }],
  ])('is of both where the first is %s', (_, first) => {
    const problems = world(virtualService('a', first), virtualService('b')).problems();
    expect(problems.filter((line) => line.includes('has no effect on'))).toEqual([]);
  });

  it('tells each that has lost of the one that counts, and is over with it', () => {
    const [a, b, c] = [virtualService('a'), virtualService('b'), virtualService('c')];
    const objects = world(c, b, a);
    expect(objects.problems()).toEqual([lost('c', 'shop/a', byName), lost('b', 'shop/a', byName)]);
    objects.remove(a);
    expect(objects.problems()).toEqual([lost('c', 'shop/b', byName)]);
    objects.put(virtualService('c', { day: 1 }));
    expect(objects.problems()).toEqual([lost('c', 'shop/b', 'it is older')]);
    objects.remove(b);
    expect(objects.problems()).toEqual([]);
  });

  it('is told of 20 times at most', () => {
    const hosts = Array.from({ length: 30 }, (_, at) => `h${at}.example.com`);
    const objects = world(virtualService('a', { hosts }), virtualService('b', { hosts }));
    expect(objects.problems()).toHaveLength(20);
  });
});
