/** What is kept of objects in the topic `objects` is all that a restart needs, and no more. */
import { join } from 'node:path';
import { LastGood } from '@watershed/model/gen/model.ts';
import { expect, test } from 'vitest';
import { goldens } from './kinds/harness.ts';
import { Core, service } from './support.ts';

const inputs = ['core', 'istio', 'gateway-api'].flatMap((folder) =>
  goldens(join(import.meta.dirname, 'kinds', folder, 'golden')),
);

const told = (core: Core): unknown => core.keys().map((key) => [key, core.event(key)]);

test('a restart that can read no file puts every event back as it was, of all kinds', async () => {
  for (const { input, name } of inputs) {
    const before = await Core.of({ 'a.yaml': input });
    const after = await Core.of({ 'a.yaml': 'a: [' }, { stored: before.stored() });
    expect([name, after.news()]).toEqual([name, []]);
    // They come from the objects, and not from the records that are there.
    const { objects } = before.stored();
    const again = await Core.of({ 'a.yaml': 'a: [' }, { stored: { events: [], objects } });
    expect([name, told(again)]).toEqual([name, told(before)]);
  }
});

test('of what applications keep beside what is read, nothing is on the log', async () => {
  const core = await Core.of({
    'a.yaml': `---
apiVersion: v1
kind: Pod
metadata:
  name: cart-1
  namespace: shop
  annotations: { kubectl.kubernetes.io/last-applied-configuration: hidden }
spec:
  nodeName: n1
  containers:
    - name: app
      env: [{ name: PASSWORD, value: hidden }]
      ports: [{ name: http, containerPort: 80 }]
---
apiVersion: v1
kind: ConfigMap
metadata: { name: app, namespace: shop }
data: { settings: hidden }
binaryData: { more: hidden }
`,
  });
  const texts = core.stored().objects.map(({ value }) => Buffer.from(value).toString());
  expect(texts.filter((text) => text.includes('hidden'))).toEqual([]);
  expect(texts.some((text) => text.includes('"containerPort":80'))).toBe(true);
});

test('what is on the log alone, and that this version refuses, is nowhere: nobody is told that it is there', async () => {
  const route = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: shop }
spec: { hosts: [a.test], http: [{ route: [{ destination: { host: cart } }] }] }
`;
  const before = await Core.of({ 'a.yaml': service('cart') });
  const objects = before.stored().objects.map((object) => {
    const good = LastGood.decode(object.value);
    const json = Buffer.from(Buffer.from(good.json).toString().replace('80', '88888'));
    return { ...object, value: LastGood.encode({ ...good, json }).finish() };
  });
  const after = await Core.of({ 'a.yaml': route }, { stored: { events: [], objects } });
  expect(after.problems()).toEqual([
    'warning VirtualService shop/a: spec.http[0].route[0].destination.host "cart": ' +
      'no Service or ServiceEntry in this cluster has host cart.shop.svc.cluster.local',
  ]);
});
