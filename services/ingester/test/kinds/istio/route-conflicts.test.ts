/** Hosts and matches that another VirtualService takes: what is told of them. */
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

const gateway: RawObject = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name: 'edge', namespace: 'infra' },
  spec: {
    selector: { app: 'edge' },
    servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }],
  },
};

describe('a host of a gateway that two VirtualServices take every request of', () => {
  const host = 'shop.example.com';
  const specific = { match: [{ uri: { prefix: '/cart' } }], ...rule };
  const any = { match: [{ uri: { prefix: '/' } }], ...rule };
  const anyText = { match: [{ uri: { regex: '.*' } }], ...rule };
  const at = (gateways: readonly string[]) => ({ match: [{ gateways }], ...rule });
  const ofEdge = (name: string, rest: Rest = {}): RawObject =>
    virtualService(name, { hosts: [host], gateways: ['infra/edge'], ...rest });
  const told = (...objects: readonly RawObject[]): readonly string[] =>
    world(gateway, ...objects).problems();
  const unreached = (name: string, at: number | string, given = host): string =>
    `VirtualService shop/${name}: warning: spec.http[${at}]: is never reached for ${host} at Gateway infra/edge: ` +
    `a rule of VirtualService shop/a takes every request too, and goes first (${byName}): "${given}"`;

  it.each([
    ['without any match', {}, 0],
    ['with a match of everything', { http: [specific, any] }, 1],
    ['with a regular expression of everything', { http: [specific, anyText] }, 1],
    ['with a match of everything at that gateway', { http: [at(['infra/edge'])] }, 0],
  ])('goes to the first; that is told to a rule %s', (_, second, index) => {
    expect(told(ofEdge('b', second), ofEdge('a'))).toEqual([unreached('b', index)]);
  });

  it.each([
    [
      'behind others of its rule',
      { http: [{ match: [...specific.match, {}], ...rule }] },
      ['0].match[1'],
    ],
    ['of one port', { http: [{ match: [{ port: 80 }], ...rule }] }, ['0']],
    [
      'of one port, and to that behind it',
      { http: [{ match: [{ port: 80 }], ...rule }, rule, any] },
      ['0', '1'],
    ],
    ['of some clients', { http: [{ match: [{ sourceNamespace: 'x' }], ...rule }] }, ['0']],
  ])('is told to a match of everything %s', (_, second, lost) => {
    const problems = told(ofEdge('b', second), ofEdge('a'));
    expect(problems.filter((line) => line.includes('goes first'))).toEqual(
      lost.map((at) => unreached('b', at)),
    );
  });

  it('is the same host in other letters, and with a dot at the end', () => {
    const given = 'SHOP.example.com.';
    expect(told(ofEdge('a'), ofEdge('b', { hosts: [given] }))).toEqual([unreached('b', 0, given)]);
  });

  it.each([
    ['the first one takes some requests only', { http: [specific] }, {}],
    ['the second one takes some requests only', {}, { http: [specific] }],
    ['the first one does so for a port', { http: [{ match: [{ port: 80 }], ...rule }] }, {}],
    ['the first one does so elsewhere', { http: [at(['mesh'])] }, {}],
    ['the first one is for some namespaces only', { exportTo: ['.'] }, {}],
    ['the hosts differ', { hosts: ['*.example.com'] }, {}],
    [
      'the first one does not say what, a delegate does',
      { http: [{ delegate: { name: 'd' } }] },
      {},
    ],
  ])('is told of to nobody where %s', (_, first, second) => {
    const problems = told(ofEdge('a', first), ofEdge('b', second));
    expect(problems.filter((line) => line.includes('is never reached'))).toEqual([]);
  });

  it("is the second one's when the first has gone", () => {
    const first = ofEdge('a');
    const objects = world(gateway, first, ofEdge('b'));
    expect(objects.problems()).toEqual([unreached('b', 0)]);
    objects.put(ofEdge('a', { http: [specific] }));
    expect(objects.problems()).toEqual([]);
    objects.put(first);
    expect(objects.problems()).toEqual([unreached('b', 0)]);
    objects.remove(first);
    expect(objects.problems()).toEqual([]);
  });
});

describe('a match that two VirtualServices have for a host of a gateway', () => {
  const host = 'shop.example.com';
  const cart = { uri: { prefix: '/cart' } };
  const matching = (...matches: readonly object[]) => ({ match: matches, ...rule });
  const routing = (name: string, rest: Rest = {}): RawObject => {
    const defaults = { hosts: [host], gateways: ['infra/edge'], http: [matching(cart)] };
    return virtualService(name, { ...defaults, ...rest });
  };
  const told = (...objects: readonly RawObject[]): readonly string[] =>
    world(gateway, ...objects).problems();
  const lostMatch = (name: string, to: string, why = byName, at = '[0].match[0]'): string =>
    `VirtualService shop/${name}: warning: spec.http${at}: takes no request for host ${host} of Gateway ` +
    `infra/edge: VirtualService ${to} has the same match and goes first (${why}): "prefix /cart"`;
  const only = (objects: readonly string[]): readonly string[] =>
    objects.filter((line) => line.includes('takes no request'));

  it('is of the older one', () => {
    const [a, b] = [routing('a', { day: 2 }), routing('b', { day: 1 })];
    expect(told(a, b)).toEqual([lostMatch('a', 'shop/b', 'it is older')]);
  });

  it('is of the first by namespace and name where their age says nothing', () => {
    const objects = [routing('b'), routing('c'), routing('a', { namespace: 'a' })];
    expect(only(told(...objects))).toEqual([lostMatch('b', 'a/a'), lostMatch('c', 'a/a')]);
  });

  it.each([
    ['somewhere among its rules', matching({ uri: { exact: '/' } }, cart), '[0].match[1]'],
    ['under another name', matching({ ...cart, name: 'n' }), '[0].match[0]'],
    ['at that gateway by name', matching({ ...cart, gateways: ['infra/edge'] }), '[0].match[0]'],
  ])('is told of where the second one has it %s', (_, second, at) => {
    expect(told(routing('a'), routing('b', { http: [second] }))).toEqual([
      lostMatch('b', 'shop/a', byName, at),
    ]);
  });

  it('is the same with headers in another order and in other letters', () => {
    const [one, other] = [{ exact: '1' }, { regex: '2|3' }];
    const a = routing('a', { http: [matching({ ...cart, headers: { X: one, y: other } })] });
    const b = routing('b', { http: [matching({ ...cart, headers: { Y: other, x: one } })] });
    expect(told(a, b)).toEqual([lostMatch('b', 'shop/a')]);
  });

  it('is told of where a rule before it is for the mesh alone', () => {
    const http = [matching({ gateways: ['mesh'] }), matching(cart)];
    expect(only(told(routing('a', { http }), routing('b')))).toEqual([lostMatch('b', 'shop/a')]);
  });

  it.each([
    ['the first one asks for a port', { http: [matching({ ...cart, port: 80 })] }, {}],
    [
      'the first one asks for more',
      { http: [matching({ ...cart, method: { exact: 'GET' } })] },
      {},
    ],
    ['the kinds of match differ', { http: [matching({ uri: { exact: '/cart' } })] }, {}],
    ['cases count for one', { http: [matching({ ...cart, ignoreUriCase: true })] }, {}],
    [
      'the first one asks for a client',
      { http: [matching({ ...cart, sourceNamespace: 'x' })] },
      {},
    ],
    ['the first one has it elsewhere', { http: [matching({ ...cart, gateways: ['mesh'] })] }, {}],
    ['the first one is for some namespaces only', { exportTo: ['.'] }, {}],
    ['the hosts differ', {}, { hosts: ['other.example.com'] }],
    ['the gateways differ', {}, { gateways: ['infra/other'] }],
    ['the first one asks a delegate', { http: [{ match: [cart], delegate: { name: 'd' } }] }, {}],
    ['the first one never comes to it', { http: [rule, matching(cart)] }, {}],
    ['the first one may not come to it', { http: [matching({ port: 80 }), matching(cart)] }, {}],
    [
      'a delegate of the first one may take all before',
      { http: [{ delegate: { name: 'd' } }, matching(cart)] },
      {},
    ],
  ])('is told of to nobody where %s', (_, first, second) => {
    expect(only(told(routing('a', first), routing('b', second)))).toEqual([]);
  });

  it('is told of to nobody where the gateway has hosts for the namespace of the second one', () => {
    const servers = [
      { port: { number: 80, name: 'http', protocol: 'HTTP' }, hosts: ['shop/*', 'team/*'] },
    ];
    const own = { ...gateway, spec: { selector: { app: 'edge' }, servers } };
    for (const http of [[matching(cart)], [rule]]) {
      const objects = [routing('a', { namespace: 'a', http }), routing('b', { http })];
      expect(
        world(own, ...objects)
          .problems()
          .filter((line) => line.includes('goes first')),
      ).toEqual([]);
    }
  });

  it('is told of beside one of its rule that takes every request, and is lost as well', () => {
    const http = [matching(cart, { uri: { prefix: '/' } })];
    const problems = told(routing('a', { http }), routing('b', { http }));
    expect(problems.map((line) => line.split(': ')[2])).toEqual([
      'spec.http[0].match[1]',
      'spec.http[0].match[0]',
    ]);
  });

  it('is told of 20 times at most, and is not looked for without end', () => {
    const http = Array.from({ length: 300 }, (_, at) => matching({ uri: { exact: `/${at}` } }));
    expect(told(routing('a', { http }), routing('b', { http }))).toHaveLength(20);
    const last = [...http, matching(cart)];
    expect(told(routing('a', { http: last }), routing('b'))).toEqual([]);
    const long = [matching({ uri: { exact: `/${'x'.repeat(1024)}` } })];
    expect(told(routing('a', { http: long }), routing('b', { http: long }))).toEqual([]);
  });

  it("is the second one's when the first has gone", () => {
    const first = routing('a');
    const objects = world(gateway, first, routing('b'));
    expect(objects.problems()).toEqual([lostMatch('b', 'shop/a')]);
    objects.remove(first);
    expect(objects.problems()).toEqual([]);
    objects.put(first);
    expect(objects.problems()).toEqual([lostMatch('b', 'shop/a')]);
  });
});
