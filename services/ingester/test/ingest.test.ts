import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encodeLastGood } from '../src/core/last-good.ts';
import { Core, service, serviceKey, services } from './support.ts';

const slice = (name: string, of: string, address: string): string => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${name}, namespace: shop, labels: { kubernetes.io/service-name: ${of} } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [${address}], targetRef: { kind: Pod, name: ${name} } }]
`;

const pod = (name: string, labels: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: ${labels} }
`;

describe('what is published', () => {
  test('every source has the mesh, with defaults, and each object its event', async () => {
    const core = await Core.of({ 'a.yaml': service('cart') });
    expect(core.news()).toEqual(['+ config one|mesh||default', `+ ${serviceKey('cart')}`]);
  });

  test('a change of one object is one event, and names the file and its version', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 3) });
    core.news();
    await core.write({ 'a.yaml': services(0, 2) + service('s2', 81) });
    expect(core.published).toMatchObject([
      { key: 'one|service|shop|s2', owner: '/Service/shop/s2', unit: 'a.yaml' },
    ]);
    expect(core.news()).toEqual([`+ ${serviceKey('s2')}`]);
  });

  test('a change of one object emits again those that read it, and no others', async () => {
    const files = {
      'a.yaml': slice('one', 'cart', '10.0.0.1') + slice('two', 'cart', '10.0.0.2'),
      'p.yaml': pod('one', '{ version: v1 }') + pod('two', '{ version: v1 }'),
    };
    const core = await Core.of(files);
    core.news();
    await core.write({ 'p.yaml': pod('one', '{ version: v2 }') + pod('two', '{ version: v1 }') });
    expect(core.news()).toEqual(['+ endpoints cart.shop.svc.cluster.local|one|slice|shop|one']);
  });

  test('an object that moves to another file, or a file that is renamed, is no event', async () => {
    const core = await Core.of({ 'a.yaml': service('cart'), 'b.yaml': service('shop') });
    core.news();
    await core.write({ 'a.yaml': undefined, 'z.yaml': service('cart') });
    await core.write({ 'b.yaml': `# a comment\n${service('shop')}` });
    expect(core.news()).toEqual([]);
    expect(core.keys()).toEqual([serviceKey('cart'), serviceKey('shop')]);
  });
});

describe('silences', () => {
  test('the same text, and other objects of a changed file, are silent', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 5) });
    core.news();
    await core.write({ 'a.yaml': services(0, 5) });
    expect(core.news()).toEqual([]);
    expect(core.silences.object).toBe(5);
  });

  test('status, resourceVersion and managedFields are silent', async () => {
    const write = (version: number): string =>
      service('cart', 80, `uid: "1", resourceVersion: "${version}", generation: ${version}`) +
      `status: { loadBalancer: { ingress: [{ ip: 10.0.0.${version} }] } }\n`;
    const core = await Core.of({ 'a.yaml': write(1) });
    core.news();
    await core.write({ 'a.yaml': write(2) });
    expect(core.news()).toEqual([]);
    expect(core.silences).toMatchObject({ object: 1, event: 0 });
  });

  test('an annotation that nothing reads is silent: the event has the same bytes', async () => {
    const core = await Core.of({ 'a.yaml': service('cart', 80, 'annotations: { a: "1" }') });
    core.news();
    await core.write({ 'a.yaml': service('cart', 80, 'annotations: { a: "2" }') });
    expect(core.news()).toEqual([]);
    expect(core.silences).toMatchObject({ object: 0, event: 1 });
  });

  test('an equal value in other words is silent', async () => {
    const core = await Core.of({ 'a.yaml': service('cart') });
    core.news();
    const json = {
      kind: 'Service',
      apiVersion: 'v1',
      spec: { type: 'ClusterIP', ports: [{ protocol: 'TCP', port: 80, name: 'http' }] },
      metadata: { namespace: 'shop', name: 'cart', labels: null },
    };
    await core.write({ 'a.yaml': JSON.stringify(json) });
    expect(core.news()).toEqual([]);
    expect(core.silences.object).toBe(1);
  });

  test('a restart over an equal log is silent', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 5) });
    const after = await Core.of({ 'a.yaml': services(0, 5) }, { stored: before.stored() });
    expect(after.news()).toEqual([]);
  });
});

describe('where a diagnostic was found', () => {
  const origins = (core: Core): readonly string[] =>
    core.diagnostics.list().map(({ origin }) => origin);

  test('an object that moves in its file, or to another one, takes its diagnostics along', async () => {
    const core = await Core.of({ 'a.yaml': service('cart', 99_999) });
    expect(origins(core)).toEqual(['a.yaml:2']);
    await core.write({ 'a.yaml': service('shop') + service('cart', 99_999) });
    expect(origins(core)).toEqual(['a.yaml:7']);
    await core.write({ 'a.yaml': undefined, 'b.yaml': service('cart', 99_999) });
    expect(origins(core)).toEqual(['b.yaml:2']);
  });

  test('a part of a file that cannot be read has its line there, and not in the reason', async () => {
    const text = service('cart') + service('shop');
    const core = await Core.of({ 'a.yaml': text });
    await core.write({ 'a.yaml': `${text}kind: Again\n---\nhello\n` });
    const told = core.diagnostics.list().map(({ origin, reason }) => `${origin} ${reason}`);
    expect(told).toEqual([
      'a.yaml:11 the key "kind" is written twice',
      'a.yaml:13 expected an object, found 5 characters',
      expect.stringMatching(
        /^a.yaml:7 its file .* \(a.yaml:11: the key "kind" is written twice\);/,
      ),
    ]);
  });

  test('one that was held over a restart has a place again when it returns', async () => {
    const wrong = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: route, namespace: shop }
spec: { gateways: [nowhere], hosts: [a.test], http: [{ route: [{ destination: { host: b } }] }] }
`;
    const files = { 'a.yaml': wrong };
    const before = await Core.of(files);
    expect(origins(before).filter((origin) => origin !== 'a.yaml:2')).toEqual([]);
    const after = await Core.of({ 'a.yaml': 'a: [' }, { stored: before.stored() });
    expect(origins(after)).toContain('');
    await after.write(files);
    expect(origins(after)).toEqual(origins(before));
  });
});

describe('last good', () => {
  test('a bad object keeps its last good event until it is fixed', async () => {
    const core = await Core.of({ 'a.yaml': service('cart') + service('shop') });
    core.news();
    await core.write({ 'a.yaml': service('cart', 99_999) + service('shop', 81) });
    expect(core.news()).toEqual([`+ ${serviceKey('shop')}`]);
    expect(core.problems()).toEqual([
      'error Service shop/cart: spec.ports[0].port 99999: must be from 1 to 65535',
    ]);
    expect(core.ingest.objects().map(({ name, state }) => [name, state])).toEqual([
      ['cart', 'last good'],
      ['shop', 'good'],
      ['defaults', 'good'],
    ]);
    await core.write({ 'a.yaml': service('cart', 82) + service('shop', 81) });
    expect(core.news()).toEqual([`+ ${serviceKey('cart')}`]);
    expect(core.problems()).toEqual([]);
  });

  test('malformed YAML loses no object, and the documents beside it are read', async () => {
    const core = await Core.of({ 'a.yaml': service('cart') + service('shop') });
    core.news();
    const broken = service('cart').replace('ports: [', 'ports: [[');
    await core.write({ 'a.yaml': broken + service('shop', 81) });
    expect(core.news()).toEqual([`+ ${serviceKey('shop')}`]);
    expect(core.keys()).toEqual([serviceKey('cart'), serviceKey('shop')]);
    expect(core.problems().map((line) => line.split(':')[0])).toEqual([
      'error File a.yaml',
      'error Service shop/cart',
    ]);
    await core.write({ 'a.yaml': service('shop', 81) });
    expect(core.news()).toEqual([`- ${serviceKey('cart')}`]);
    expect(core.problems()).toEqual([]);
  });

  test('over a restart, the log keeps the last good of an object that is bad now', async () => {
    const before = await Core.of({ 'a.yaml': service('cart') + service('shop') });
    const bad = service('cart', 99_999);
    const after = await Core.of({ 'a.yaml': bad }, { stored: before.stored() });
    expect(after.news()).toEqual([`- ${serviceKey('shop')}`]);
    expect(after.keys()).toEqual([serviceKey('cart')]);
    await after.write({ 'a.yaml': service('cart') });
    expect(after.news()).toEqual([]);
    await after.write({ 'a.yaml': undefined });
    expect(after.news()).toEqual([`- ${serviceKey('cart')}`]);
  });

  test('what a later version said of an object is kept as it is where no version of it is known, and replaced once it is good', async () => {
    const before = await Core.of({ 'a.yaml': service('cart') });
    // Field 1000, a varint: this version does not know it.
    const events = before.stored().events.map((event) => ({
      ...event,
      value: Buffer.concat([event.value, Uint8Array.of(0xc0, 0x3e, 1)]),
    }));
    const stored = { events, objects: [] };
    const valueOf = (core: Core) =>
      core.stored().events.find(({ key }) => serviceKey('cart').endsWith(key))?.value;
    const after = await Core.of({ 'a.yaml': service('cart', 99_999) }, { stored });
    expect(after.news()).not.toContain(`+ ${serviceKey('cart')}`);
    expect(valueOf(after)?.length).toBe((valueOf(before)?.length ?? 0) + 3);
    await after.write({ 'a.yaml': service('cart') });
    expect(valueOf(after)).toEqual(valueOf(before));
  });

  test('a bad object that is removed after a restart takes its event with it', async () => {
    const before = await Core.of({ 'a.yaml': service('cart') });
    const after = await Core.of({ 'a.yaml': service('cart', 99_999) }, { stored: before.stored() });
    await after.write({ 'a.yaml': undefined });
    expect(after.news()).toEqual([`- ${serviceKey('cart')}`]);
    expect(after.problems()).toEqual([]);
  });

  test('over a restart, the log keeps what a file may hold that cannot be read whole', async () => {
    const files = { 'a.yaml': service('cart') + service('shop'), 'b.yaml': service('ops') };
    const before = await Core.of(files);
    const broken = { 'a.yaml': `${service('shop')}---\na: [` };
    const after = await Core.of(broken, { stored: before.stored() });
    // What was in the other file, which is gone, may have moved.
    expect(after.news()).toEqual([]);
    expect(after.keys()).toEqual(['cart', 'ops', 'shop'].map(serviceKey));
    const reason =
      'is in no file that can be read, and some file cannot be read whole: the last good value stays';
    const told = (): unknown => after.diagnostics.list().filter((one) => one.reason === reason);
    expect(told()).toMatchObject([{ name: 'cart' }, { name: 'ops' }]);
    await after.write({ 'c.yaml': service('ops') });
    expect(told()).toMatchObject([{ name: 'cart' }]);
    await after.write({ 'a.yaml': service('shop') });
    expect(after.news()).toEqual([`- ${serviceKey('cart')}`]);
    expect(told()).toEqual([]);
  });

  test('over a restart, the log keeps what a directory may hold that cannot be read', async () => {
    const files = { '/c/sub/a.yaml': service('cart'), '/c/subs.yaml': service('shop') };
    const before = await Core.of(files);
    const after = new Core({ stored: before.stored() });
    const problems = [{ line: 1, reason: 'EACCES' }];
    const blind = { unit: '/c/sub', version: '', objects: [], problems };
    after.ingest.apply({ source: 'files', updates: [blind], unchanged: 0 });
    after.open();
    expect(after.news()).toEqual([]);
    await after.write({ '/c/sub': undefined, '/c/sub/b.yaml': service('ops') });
    expect([...after.news()].sort()).toEqual([
      `+ ${serviceKey('ops')}`,
      `- ${serviceKey('cart')}`,
      `- ${serviceKey('shop')}`,
    ]);
  });

  test('over a restart, a directory that comes back with a broken file has nothing taken away', async () => {
    const files = { '/c/a.yaml': service('cart'), '/c/b.yaml': service('shop') };
    const before = await Core.of(files);
    const after = new Core({ stored: before.stored() });
    const problems = [{ line: 1, reason: '/c does not exist' }];
    const blind = { unit: '/c', version: '', objects: [], problems };
    after.ingest.apply({ source: 'files', updates: [blind], unchanged: 0 });
    after.open();
    await after.write({ '/c': undefined, '/c/a.yaml': 'a: [', '/c/b.yaml': service('shop') });
    expect(after.news()).toEqual([]);
    await after.write({ '/c/a.yaml': service('ops') });
    expect([...after.news()].sort()).toEqual([`+ ${serviceKey('ops')}`, `- ${serviceKey('cart')}`]);
  });

  test('a record that this version cannot read stays while its object may be in an unread file', async () => {
    const refused = {
      raw: { apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart' }, spec: { ports: 'no' } },
      source: 'files',
      held: undefined,
    };
    const value = encodeLastGood(
      refused,
      { readsStatus: false, partRead: undefined, isSecret: false },
      { seal: () => ({ sealed: new Uint8Array(0), keyId: '' }) },
    );
    const record = { topic: 'objects' as const, key: 'one||Service|shop|cart', value };
    const stored = { events: [], objects: [record] };
    const core = await Core.of({ 'a.yaml': 'a: [' }, { stored });
    expect(core.stored().objects).toContain(record);
    expect(core.problems().map((line) => line.split(':')[0])).toEqual([
      'error File a.yaml',
      'warning Service shop/cart',
    ]);
    await core.write({ 'a.yaml': service('shop') });
    expect(core.stored().objects.map(({ key }) => key)).not.toContain(record.key);
    expect(core.problems()).toEqual([]);
  });

  test('an object whose name no key can have comes and goes before all is listed', async () => {
    const core = new Core();
    await core.write({ 'a.yaml': service('"a|b"') });
    await core.write({ 'a.yaml': undefined }, { suspect: 'the directory is gone' });
    await core.write({ 'a.yaml': service('"a|b"') });
    await core.write({ 'a.yaml': undefined });
    expect(core.open().keys()).toEqual([]);
  });

  describe('over a restart, what cannot be read or is held is known from the log', () => {
    const kind = 'gateway.networking.k8s.io';
    const classes = `---
apiVersion: ${kind}/v1
kind: GatewayClass
metadata: { name: own }
spec: { controllerName: istio.io/gateway-controller }
`;
    const gateway = (port: number): string => `---
apiVersion: ${kind}/v1
kind: Gateway
metadata: { name: edge, namespace: shop }
spec:
  gatewayClassName: own
  listeners: [{ name: http, port: ${port}, protocol: HTTP }]
`;
    const route = (path: string, to = 'cart'): string => `---
apiVersion: ${kind}/v1
kind: HTTPRoute
metadata: { name: all, namespace: shop }
spec:
  parentRefs: [{ name: edge }]
  rules:
    - matches: [{ path: { value: ${path} } }]
      backendRefs: [{ name: ${to}, port: 80 }]
`;
    const files = {
      'classes.yaml': classes,
      'gateway.yaml': gateway(80),
      'route.yaml': route('/a'),
      'cart.yaml': service('cart'),
    };
    const fileOf = (name: string): string | undefined => new Map(Object.entries(files)).get(name);

    test.each([
      ['a Service', 'cart.yaml', { 'route.yaml': route('/b') }],
      ['a class', 'classes.yaml', { 'gateway.yaml': gateway(81) }],
    ])('an edit of what refers to it is served at once: %s', async (_what, broken, edit) => {
      const before = await Core.of(files);
      const after = await Core.of({ ...files, [broken]: 'a: [' }, { stored: before.stored() });
      expect(after.news()).toEqual([]);
      await after.write(edit);
      expect(after.news()).toHaveLength(1);
      expect(after.problems().map((line) => line.replace(/: .*/u, ''))).toEqual([
        `error File ${broken}`,
        expect.stringMatching(/^warning (?:Service shop.cart|GatewayClass own)$/u),
      ]);
      await after.write({ [broken]: fileOf(broken) });
      expect([after.news(), after.problems()]).toEqual([[], []]);
    });

    test('an edit of what refers to held objects is served at once', async () => {
      const edit = { ...files, 'route.yaml': route('/a', 's1') };
      const before = await Core.of({ ...edit, 'many.yaml': services(0, 40) });
      const after = await Core.of(edit, { stored: before.stored() });
      expect(after.ingest.held()).toHaveLength(40);
      await after.write({ 'route.yaml': route('/b', 's1') });
      expect(after.news()).toEqual(['+ config one|route|shop|httproute:all']);
      after.ingest.confirm();
      // And the route, of which a backend is gone.
      expect(after.news()).toHaveLength(41);
    });

    test('a new file that cannot be read withholds nothing', async () => {
      const before = await Core.of(files);
      const edit = { ...files, 'route.yaml': route('/b', 'nowhere'), 'new.yaml': 'a: [' };
      const after = await Core.of(edit, { stored: before.stored() });
      expect(after.news()).toEqual(['+ config one|route|shop|httproute:all']);
    });

    test('what gives no record of its own is held as well: delegates of a VirtualService', async () => {
      const api = 'apiVersion: networking.istio.io/v1\nkind: VirtualService\n';
      const delegates = Array.from(
        { length: 30 },
        (_, at) => `---
${api}metadata: { name: d${at}, namespace: shop }
spec: { http: [{ route: [{ destination: { host: cart } }] }] }
`,
      );
      const root = `---
${api}metadata: { name: root, namespace: shop }
spec:
  hosts: [shop.example.com]
  http:
${delegates.map((_, at) => `    - { match: [{ uri: { prefix: /d${at}/ } }], delegate: { name: d${at} } }\n`).join('')}`;
      const rest = { 'root.yaml': root, 'cart.yaml': service('cart') };
      const first = await Core.of({ ...rest, 'd.yaml': delegates.join('') });
      await first.write({ 'd.yaml': undefined });
      expect(first.ingest.held()).toHaveLength(30);
      await first.write({ 'd.yaml': delegates.slice(0, 20).join('') });
      const edit = { ...rest, 'd.yaml': delegates.slice(0, 20).join('') };
      first.news();
      const second = await Core.of(edit, { stored: first.stored() });
      const third = await Core.of({ ...edit, 'new.yaml': 'a: [' }, { stored: second.stored() });
      for (const core of [second, third]) {
        expect([core.news(), core.ingest.held().length]).toEqual([[], 10]);
      }
      expect(third.ingest.held()).toEqual(first.ingest.held());
      third.ingest.confirm();
      expect(third.news()).toEqual(['+ config one|route|shop|root']);
    });

    test('what a Gateway needs of a Secret that cannot be read is there', async () => {
      const secret = (text: string): string => `---
apiVersion: v1
kind: Secret
metadata: { name: cert, namespace: shop, annotations: { a: b } }
data: { tls.crt: ${text}, tls.key: ${key}, other: c2VjcmV0 }
`;
      const [crt, key] = ['a.crt', 'a.key'].map((name) =>
        readFileSync(new URL(`fixtures/${name}`, import.meta.url)).toString('base64'),
      );
      const tls = gateway(443)
        .replace('protocol: HTTP', 'protocol: HTTPS')
        .replace(' }]', ', tls: { certificateRefs: [{ name: cert }] } }]');
      const good = { ...files, 'gateway.yaml': tls, 'secret.yaml': secret(crt ?? '') };
      const before = await Core.of(good);
      expect(before.problems()).toEqual([]);
      const after = await Core.of(
        { ...good, 'secret.yaml': secret('bm8=') },
        { stored: before.stored() },
      );
      expect(after.news()).toEqual([]);
      await after.write({ 'gateway.yaml': tls.replace('443', '444') });
      expect(after.news()).toHaveLength(1);
      expect(after.problems()).toEqual([expect.stringContaining('error Secret shop/cert')]);
    });
  });

  test('over a restart, what reads a lost object keeps what the log has', async () => {
    const slice = `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: cart-1, namespace: shop, labels: { kubernetes.io/service-name: cart } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [10.0.0.1], targetRef: { kind: Pod, name: cart-1 } }]
`;
    const pod = (version: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: cart-1, namespace: shop, labels: { version: ${version} } }
`;
    const key = 'endpoints cart.shop.svc.cluster.local|one|slice|shop|cart-1';
    const labelled = (version: string) => ({
      endpoints: { endpoints: [{ labels: { version } }] },
    });
    const before = await Core.of({ 'pods.yaml': pod('v1'), 'slices.yaml': slice });
    const broken = { 'pods.yaml': `${pod('v1')}  more: [`, 'slices.yaml': slice };
    const after = await Core.of(broken, { stored: before.stored() });
    expect(after.news()).toEqual([]);
    expect(after.event(key)).toMatchObject(labelled('v1'));
    await after.write({ 'pods.yaml': pod('v2') });
    expect(after.event(key)).toMatchObject(labelled('v2'));
    await after.write({ 'pods.yaml': undefined });
    expect(after.event(key)).not.toMatchObject(labelled('v2'));
  });

  test('mesh settings that are bad at a restart do not fall back to the defaults', async () => {
    const config = (mesh: string): string => `---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "${mesh}" }
`;
    const before = await Core.of({ 'm.yaml': config('trustDomain: example.org') });
    const after = await Core.of(
      { 'm.yaml': config('trustDomain: [') },
      { stored: before.stored() },
    );
    expect(after.news()).toEqual([]);
    expect(after.event('config one|mesh||default')).toMatchObject({
      mesh: { trustDomain: 'example.org' },
    });
    await after.write({ 'm.yaml': undefined });
    expect(after.event('config one|mesh||default')).toMatchObject({
      mesh: { trustDomain: 'cluster.local' },
    });
  });
});

describe('after a restart', () => {
  test('only the difference is published, with tombstones for what is gone', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 5) });
    const now = services(0, 3) + service('s3', 81) + service('new');
    const after = await Core.of({ 'a.yaml': now }, { stored: before.stored() });
    expect([...after.news()].sort()).toEqual([
      `+ ${serviceKey('new')}`,
      `+ ${serviceKey('s3')}`,
      `- ${serviceKey('s4')}`,
    ]);
  });

  test('the difference is one step, in which what goes is last and a route is behind its service', async () => {
    const routeTo = (name: string): string =>
      [
        '---',
        'apiVersion: networking.istio.io/v1',
        'kind: VirtualService',
        'metadata: { name: a, namespace: shop }',
        `spec: { hosts: [a.test], http: [{ route: [{ destination: { host: ${name} } }] }] }`,
        '',
      ].join('\n');
    const before = await Core.of({ 'a.yaml': routeTo('old') + service('old') });
    const now = routeTo('new') + service('new');
    const after = await Core.of({ 'a.yaml': now }, { stored: before.stored() });
    expect(after.steps).toBe(1);
    expect(after.news()).toEqual([
      `+ ${serviceKey('new')}`,
      '+ config one|route|shop|a',
      `- ${serviceKey('old')}`,
    ]);
  });

  test('records that no process of today would write are taken away', async () => {
    const key = 'one|service|shop|old';
    const value = new Uint8Array([1]);
    const events = [{ topic: 'config' as const, key, value, owner: '/unknown//x' }];
    const stored = { events, objects: [] };
    const core = await Core.of({ 'a.yaml': service('cart') }, { stored });
    expect(core.news()).toContain('- config one|service|shop|old');
  });

  test('a large part that is gone is held, until it is confirmed', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 40) });
    const after = await Core.of({ 'a.yaml': services(0, 10) }, { stored: before.stored() });
    expect(after.news()).toEqual([]);
    expect(after.ingest.held()).toHaveLength(30);
    expect(after.ingest.confirm()).toHaveLength(30);
    expect(after.news()).toHaveLength(30);
    expect(after.keys()).toHaveLength(10);
  });

  test('what a source had that is away is held, however little, as if it had gone later', async () => {
    const before = new Core();
    await before.write({ 'a.yaml': service('cart') });
    await before.write({ 'b.yaml': service('shop') }, { source: 'others' });
    const stored = before.open().stored();
    const after = new Core({ stored });
    await after.write({});
    await after.write({}, { source: 'others', suspect: 'it is away' });
    expect(after.open().news()).toEqual([`- ${serviceKey('cart')}`]);
    expect(after.ingest.held()).toMatchObject([{ source: 'others', reason: 'it is away' }]);
    expect(after.ingest.objects()[0]).toMatchObject({ name: 'shop', state: 'held' });
    const again = new Core({ stored });
    await again.write({}, { source: 'others', suspect: 'it is away' });
    await again.write({}, { source: 'others' });
    again.open();
    expect([again.ingest.held(), again.keys()]).toEqual([[], []]);
  });

  test('what is held stays held over any restart, though less than half is gone by then', async () => {
    const first = await Core.of({ 'a.yaml': services(0, 40), 'b.yaml': services(40, 60) });
    await first.write({ 'a.yaml': undefined });
    // Some return, others are new: what is held is a small part of all.
    await first.write({ 'a.yaml': services(0, 30), 'c.yaml': services(60, 100) });
    expect(first.ingest.held()).toHaveLength(10);
    const edit = { 'a.yaml': services(0, 30), 'b.yaml': services(40, 100) };
    const second = await Core.of(edit, { stored: first.stored() });
    const third = await Core.of(edit, { stored: second.stored() });
    for (const core of [second, third]) {
      expect(core.news()).toEqual([]);
      expect(core.ingest.held()).toMatchObject(
        Array.from({ length: 10 }, () => ({
          reason: '40 of the 60 objects of files are gone at once',
        })),
      );
    }
    expect(third.ingest.confirm()).toHaveLength(10);
    expect(third.news()).toHaveLength(10);
    const last = await Core.of(edit, { stored: third.stored() });
    expect([last.ingest.held(), last.news()]).toEqual([[], []]);
  });

  test('what is held stays held over a restart with a file that cannot be read, and when that is mended', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 40), 'b.yaml': services(40, 80) });
    await before.write({ 'a.yaml': undefined });
    await before.write({ 'a.yaml': services(0, 30) });
    const edit = { 'a.yaml': services(0, 30), 'b.yaml': services(40, 80) };
    const after = await Core.of({ ...edit, 'x.yaml': 'a: [' }, { stored: before.stored() });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 10]);
    await after.write({ 'x.yaml': undefined });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 10]);
    await after.write({ 'x.yaml': services(30, 40) });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 0]);
  });

  test('what an earlier process had no time to write that it is held is held with the rest', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 60) });
    const good = before.stored();
    await before.write({ 'a.yaml': undefined });
    const { events, objects } = before.stored();
    // It wrote it of 50, and was killed.
    const half = objects.map((object, at) => (at < 10 ? (good.objects[at] ?? object) : object));
    const after = await Core.of({}, { stored: { events, objects: half } });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 60]);
  });

  test('an object that is larger than a record is known after a restart', async () => {
    const large = `${service('large')}# `.replace(
      'ports: [',
      `externalIPs: [${Array.from({ length: 60_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`).join(', ')}], ports: [`,
    );
    const before = await Core.of({ 'a.yaml': large });
    const { objects } = before.stored();
    expect(Math.max(...objects.map(({ value }) => value.length))).toBeLessThan(1024 * 1024);
    const after = await Core.of({ 'a.yaml': 'a: [' }, { stored: before.stored() });
    expect(after.news()).toEqual([]);
    await after.write({ 'a.yaml': large });
    expect(after.news()).toEqual([]);
  });

  test('what was held by what went seconds before stays held over a restart', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 84) });
    await before.write({ 'a.yaml': services(40, 84) });
    await before.write({ 'a.yaml': services(55, 84) });
    expect([before.keys().length, before.ingest.held().length]).toEqual([44, 15]);
    const edit = { 'a.yaml': services(55, 84) };
    const after = await Core.of(edit, { stored: before.stored() });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 15]);
  });

  test('what was held and has returned is held no more, and may go one by one', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 40) });
    await before.write({ 'a.yaml': services(0, 10) });
    await before.write({ 'a.yaml': services(0, 40) });
    const edit = { 'a.yaml': services(0, 39) };
    const after = await Core.of(edit, { stored: before.stored() });
    expect(after.news()).toEqual([`- ${serviceKey('s39')}`]);
    // Or while nobody was there to see it.
    await after.write({ 'a.yaml': services(0, 10) });
    const back = await Core.of({ 'a.yaml': services(0, 39) }, { stored: after.stored() });
    const gone = await Core.of({ 'a.yaml': services(0, 38) }, { stored: back.stored() });
    expect(gone.news()).toEqual([`- ${serviceKey('s38')}`]);
  });

  test('what is held returns in silence', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 40) });
    const after = await Core.of({ 'a.yaml': services(0, 10) }, { stored: before.stored() });
    await after.write({ 'a.yaml': services(0, 40) });
    expect(after.news()).toEqual([]);
    expect(after.ingest.held()).toEqual([]);
    expect(after.problems()).toEqual([]);
  });
});

describe('held deletions', () => {
  test('20 objects and half of a source in one step stay, and each says why', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    core.news();
    await core.write({ 'a.yaml': services(0, 20) });
    expect(core.news()).toEqual([]);
    expect(core.ingest.held()).toHaveLength(20);
    expect(core.problems()[0]).toBe(
      'warning Service shop/s20: ' +
        'its deletion is held until it is confirmed or the object returns: ' +
        '20 of the 40 objects of files are gone at once',
    );
  });

  test('fewer than 20 objects, or less than half, go at once', async () => {
    const few = await Core.of({ 'a.yaml': services(0, 19) });
    await few.write({ 'a.yaml': undefined });
    expect(few.keys()).toEqual([]);
    const little = await Core.of({ 'a.yaml': services(0, 60) });
    await little.write({ 'a.yaml': services(0, 31) });
    expect(little.keys()).toHaveLength(31);
  });

  test('a deletion seen in pieces within seconds is one: its rest is held', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    await core.write({ 'a.yaml': services(0, 30) });
    core.nowMs += 1_000;
    await core.write({ 'a.yaml': services(0, 20) });
    expect(core.ingest.held()).toHaveLength(10);
    expect(core.keys()).toHaveLength(30);
  });

  test('what goes seconds after many were held is held as well, however little it is', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 100) });
    await core.write({ 'a.yaml': services(0, 40) });
    core.nowMs += 1_000;
    await core.write({ 'a.yaml': services(0, 30) });
    expect(core.keys()).toHaveLength(100);
    expect(core.ingest.held().at(-1)?.reason).toBe(
      '70 of the 100 objects of files are gone at once',
    );
    core.ingest.confirm();
    await core.write({ 'a.yaml': services(0, 29) });
    expect(core.keys()).toHaveLength(29);
  });

  test('when what was held has returned, a single one may go', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    await core.write({ 'a.yaml': undefined });
    await core.write({ 'a.yaml': services(0, 40) });
    await core.write({ 'a.yaml': services(0, 39) });
    expect([core.ingest.held(), core.keys().length]).toEqual([[], 39]);
  });

  test('deletions far apart in time are not one', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    for (let left = 35; left >= 0; left -= 5) {
      await core.write({ 'a.yaml': services(0, left) });
      core.nowMs += 6_000;
    }
    expect(core.ingest.held()).toEqual([]);
    expect(core.keys()).toEqual([]);
  });

  test('objects that return dissolve their hold, changed or not', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    core.news();
    await core.write({ 'a.yaml': undefined });
    expect(core.ingest.held()).toHaveLength(40);
    await core.write({ 'a.yaml': services(0, 39) + service('s39', 81) });
    expect(core.ingest.held()).toEqual([]);
    expect(core.news()).toEqual([`+ ${serviceKey('s39')}`]);
  });

  test('one that returns does not let the next ones go', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 100) });
    await core.write({ 'a.yaml': services(0, 40) });
    await core.write({ 'a.yaml': services(0, 41) });
    expect(core.ingest.held()).toHaveLength(59);
    core.nowMs += 600;
    await core.write({ 'a.yaml': services(5, 41) });
    expect([core.ingest.held().length, core.keys().length]).toEqual([64, 100]);
  });

  test('what was kept of a file that cannot be read is held when its directory goes', async () => {
    const before = await Core.of({ 'a.yaml': services(0, 5), 'b.yaml': services(5, 10) });
    const after = await Core.of(
      { 'a.yaml': services(0, 5), 'b.yaml': '}{' },
      { stored: before.stored() },
    );
    const suspect = 'the directory is gone';
    await after.write({ 'a.yaml': undefined, 'b.yaml': undefined }, { suspect });
    expect([after.news(), after.ingest.held().length]).toEqual([[], 10]);
  });

  test('other changes go on while a deletion is held', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40), 'b.yaml': service('cart') });
    await core.write({ 'a.yaml': undefined });
    core.news();
    await core.write({ 'b.yaml': service('cart', 81) });
    expect(core.news()).toEqual([`+ ${serviceKey('cart')}`]);
    core.nowMs += 5_000;
    await core.write({ 'b.yaml': undefined });
    expect(core.news()).toEqual([`- ${serviceKey('cart')}`]);
  });

  test('confirmed deletions of one source leave those of another', async () => {
    const core = await Core.of({ 'a.yaml': services(0, 40) });
    await core.write({ 'b.yaml': services(40, 80) }, { source: 'others' });
    await core.write({ 'a.yaml': undefined });
    await core.write({ 'b.yaml': undefined }, { source: 'others' });
    expect(core.ingest.held()).toHaveLength(80);
    expect(core.ingest.confirm('others')).toHaveLength(40);
    expect(core.keys()).toHaveLength(40);
  });

  test('what a suspect batch takes away is held, however little it is', async () => {
    const core = await Core.of({ 'a.yaml': service('cart') });
    core.news();
    await core.write({ 'a.yaml': undefined }, { suspect: 'the directory is gone' });
    expect(core.news()).toEqual([]);
    expect(core.ingest.held()).toMatchObject([{ reason: 'the directory is gone' }]);
    expect(core.ingest.objects()[0]).toMatchObject({ name: 'cart', state: 'held' });
    core.ingest.confirm();
    expect(core.news()).toEqual([`- ${serviceKey('cart')}`]);
  });

  test('objects of which no version was good are not held, nor do they count', async () => {
    const bad = Array.from({ length: 30 }, (_, index) => service(`bad${index}`, 99_999)).join('');
    const core = await Core.of({ 'a.yaml': services(0, 40), 'bad.yaml': bad + services(40, 45) });
    await core.write({ 'bad.yaml': undefined });
    expect([core.ingest.held(), core.problems(), core.keys().length]).toEqual([[], [], 40]);
    await core.write({ 'bad.yaml': bad }, { source: 'others' });
    await core.write({ 'bad.yaml': undefined }, { source: 'others', suspect: 'it is away' });
    expect([core.ingest.held(), core.problems()]).toEqual([[], []]);
    await core.write({ 'a.yaml': services(0, 20), 'bad.yaml': bad });
    expect(core.ingest.held()[0]?.reason).toBe('25 of the 45 objects of files are gone at once');
  });
});
