import { describe, expect, test } from 'vitest';
import { Core, service, serviceKey } from './support.ts';

describe('duplicates', () => {
  test('of two places the first by path counts, and a diagnostic names both', async () => {
    const core = await Core.of({ 'b.yaml': service('cart', 82), 'a.yaml': service('cart', 81) });
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 81 }] } });
    expect(core.problems()).toEqual([
      'error Service shop/cart: metadata.name "cart": ' +
        'is written twice; a.yaml:2 is used, b.yaml:2 is not',
    ]);
  });

  test('when the place that counts is gone, the other one does', async () => {
    const core = await Core.of({ 'b.yaml': service('cart', 82), 'a.yaml': service('cart', 81) });
    core.news();
    await core.write({ 'a.yaml': undefined });
    expect(core.news()).toEqual([`+ ${serviceKey('cart')}`]);
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 82 }] } });
    expect(core.problems()).toEqual([]);
  });

  test('twice in one file, the first counts', async () => {
    const core = await Core.of({ 'a.yaml': service('cart', 81) + service('cart', 82) });
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 81 }] } });
    expect(core.problems()).toHaveLength(1);
  });

  test('objects of two API versions with one name are one object', async () => {
    const entry = (version: string, port: number): string => `---
apiVersion: networking.istio.io/${version}
kind: ServiceEntry
metadata: { name: api, namespace: shop }
spec:
  hosts: [api.example.com]
  ports: [{ number: ${port}, name: http, protocol: HTTP }]
  resolution: DNS
`;
    const core = await Core.of({ 'a.yaml': entry('v1', 80) + entry('v1alpha3', 81) });
    expect(core.keys()).toEqual(['config one|service|shop|api:api.example.com']);
    expect(core.problems()).toHaveLength(1);
  });

  test('one that is bad does not count, and says why, wherever it stands', async () => {
    const bad = service('cart', 99_999);
    const files = { 'a.yaml': bad, 'b.yaml': service('cart', 82), 'c.yaml': service('cart', 83) };
    const core = await Core.of(files);
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 82 }] } });
    const text = 'error Service shop/cart: metadata.name "cart": is written 3 times; ';
    expect(core.problems()).toEqual([
      `${text}b.yaml:2 is used, a.yaml:2 is not: spec.ports[0].port 99999: must be from 1 to 65535`,
      `${text}b.yaml:2 is used, c.yaml:2 is not`,
    ]);
    expect(core.diagnostics.list().map(({ origin }) => origin)).toEqual(['a.yaml:2', 'c.yaml:2']);
    expect(core.ingest.objects()[0]).toMatchObject({ origin: 'b.yaml:2', state: 'good' });
    await core.write({ 'b.yaml': bad });
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 83 }] } });
    await core.write({ 'a.yaml': service('cart', 81) });
    expect(core.event(serviceKey('cart'))).toMatchObject({ service: { ports: [{ number: 81 }] } });
    await core.write({ 'b.yaml': undefined, 'c.yaml': undefined });
    expect(core.problems()).toEqual([]);
  });

  test('where all are bad the last good value stays, and what is wrong with the first is told', async () => {
    const core = await Core.of({ 'a.yaml': service('cart', 81), 'b.yaml': service('cart', 82) });
    core.news();
    await core.write({ 'b.yaml': service('cart', 88_888) });
    await core.write({ 'a.yaml': service('cart', 99_999) });
    expect(core.news()).toEqual([]);
    const text = 'error Service shop/cart: ';
    expect(core.problems()).toEqual([
      `${text}metadata.name "cart": is written twice; a.yaml:2 counts, b.yaml:2 does not`,
      `${text}spec.ports[0].port 99999: must be from 1 to 65535`,
    ]);
    expect(core.ingest.objects()[0]).toMatchObject({ origin: 'a.yaml:2', state: 'last good' });
    const after = await Core.of(
      { 'a.yaml': service('cart', 99_999), 'b.yaml': service('cart', 88_888) },
      { stored: core.stored() },
    );
    expect([after.news(), after.problems()]).toEqual([[], core.problems()]);
    await core.write({ 'b.yaml': service('cart', 82) });
    expect(core.news()).toEqual([`+ ${serviceKey('cart')}`]);
  });

  test('where all are bad, others miss it by what stands at the place that counts', async () => {
    const istio = 'apiVersion: networking.istio.io/v1';
    const entry = (host: string): string => `---
${istio}
kind: ServiceEntry
metadata: { name: db, namespace: shop }
spec: { hosts: [${host}], unknownField: 1 }
`;
    const route = (host: string): string => `---
${istio}
kind: VirtualService
metadata: { name: ${host}, namespace: shop }
spec: { hosts: [${host}], http: [{ route: [{ destination: { host: ${host} } }] }] }
`;
    const core = await Core.of({
      'a.yaml': entry('a.test'),
      'b.yaml': entry('b.test'),
      'routes.yaml': route('a.test') + route('b.test'),
    });
    const missing = (): readonly string[] =>
      core.problems().filter((line) => line.includes('ServiceEntry shop/db was refused'));
    expect(missing()).toEqual([expect.stringContaining('VirtualService shop/a.test')]);
    await core.write({ 'a.yaml': undefined });
    expect(missing()).toEqual([expect.stringContaining('VirtualService shop/b.test')]);
  });
});
