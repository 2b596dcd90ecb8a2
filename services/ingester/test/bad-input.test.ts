/** One bad thing beside good ones: what is said of it, what stays, and that all else is served. */
import { expect, test } from 'vitest';
import { defaultLimits } from '../src/parse/limits.ts';
import { Core, service, serviceKey } from './support.ts';

const istio = 'networking.istio.io/v1';
const virtualService = (spec: string): string => `---
apiVersion: ${istio}
kind: VirtualService
metadata: { name: cart, namespace: shop }
spec: ${spec}
`;
const goodRoute = virtualService(
  '{ hosts: [ops], http: [{ route: [{ destination: { host: ops } }] }] }',
);
const routeKey = 'config one|route|shop|cart';

interface Bad {
  readonly title: string;
  readonly good: string;
  readonly bad: string;
  /** Of what must stay. */
  readonly key: string;
  readonly said: RegExp;
}

const deep = `${'{ a: '.repeat(200)}1${' }'.repeat(200)}`;
const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
  .concat(
    Array.from({ length: 9 }, (_, index) => {
      const [name, before] = ['bcdefghij'.charAt(index), 'abcdefghi'.charAt(index)];
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]`;
    }),
  )
  .join('\n');

const matrix: readonly Bad[] = [
  {
    title: 'malformed YAML',
    good: service('cart'),
    bad: '---\napiVersion: v1\nkind: Service\nmetadata: { name: cart, namespace: shop\n',
    key: serviceKey('cart'),
    said: /^error File bad\.yaml: Flow map in block collection/,
  },
  {
    title: 'an unknown field',
    good: goodRoute,
    bad: virtualService('{ hosts: [ops], htpp: [] }'),
    key: routeKey,
    said: /^error VirtualService shop\/cart: spec\.htpp/,
  },
  {
    title: 'a wrong type',
    good: service('cart'),
    bad: service('cart').replace('port: 80', 'port: eighty'),
    key: serviceKey('cart'),
    said: /^error Service shop\/cart: spec\.ports\[0\]\.port "eighty": must be a whole number/,
  },
  {
    title: 'an unknown version of a known kind',
    good: service('cart'),
    bad: service('cart').replace('apiVersion: v1', 'apiVersion: v2'),
    key: serviceKey('cart'),
    said: /^error Service shop\/cart: apiVersion "v2": this version of .* is not supported; use v1/,
  },
  {
    title: 'a document of 10 MB',
    good: service('cart'),
    bad: `${service('cart')}data: ${'x'.repeat(10 * 1024 * 1024)}\n`,
    key: serviceKey('cart'),
    said: /^error File bad\.yaml: the document has \d+ characters, more than 4194304/,
  },
  {
    title: 'deep nesting',
    good: service('cart'),
    bad: `${service('cart')}deep: ${deep}\n`,
    key: serviceKey('cart'),
    said: /^error File bad\.yaml: .*nested deeper than 64/,
  },
  {
    title: 'a bomb of aliases',
    good: service('cart'),
    bad: `${service('cart')}${bomb}\n`,
    key: serviceKey('cart'),
    said: /^error File bad\.yaml: .*aliases/,
  },
  {
    title: 'a regular expression of over 1,024 characters',
    good: goodRoute,
    bad: virtualService(
      `{ hosts: [ops], http: [{ match: [{ uri: { regex: "${'a'.repeat(1_025)}" } }],` +
        ' route: [{ destination: { host: cart } }] }] }',
    ),
    key: routeKey,
    said: /^error VirtualService shop\/cart: spec\.http\[0\]\.match\[0\]\.uri\S* "a+….*1024/,
  },
  {
    title: 'a name that is no DNS name',
    good: service('cart'),
    bad: service('Cart_1'),
    key: serviceKey('ops'),
    said: /^error Service shop\/Cart_1: metadata\.name "Cart_1": must be a DNS name/,
  },
  {
    title: 'labels that are none',
    good: service('cart'),
    bad: service('cart', 80, `labels: { "a/b/c": x, ok: "${'x'.repeat(64)}" }`),
    key: serviceKey('cart'),
    said: /^error Service shop\/cart: metadata\.labels\["a\/b\/c"\]/,
  },
];

test.each(matrix)('$title: told of, last good kept, all else served', async (row) => {
  const { good, bad, key, said } = row;
  const core = await Core.of({ 'bad.yaml': good, 'good.yaml': service('ops') });
  const before = core.event(key);
  expect(before).toBeDefined();
  core.news();
  await core.write({ 'bad.yaml': bad, 'good.yaml': service('ops') + service('new') });
  expect(core.problems().filter((line) => said.test(line))).toHaveLength(1);
  expect(core.problems().every((line) => line.length < 1_500)).toBe(true);
  if (key !== serviceKey('ops')) expect(core.event(key)).toEqual(before);
  expect(core.keys()).toContain(serviceKey('ops'));
  expect(core.keys()).toContain(serviceKey('new'));
  await core.write({ 'bad.yaml': good });
  expect(core.event(key)).toEqual(before);
  expect(core.problems()).toEqual([]);
});

test('an unknown kind has no effect and says so; what others read is passed over', async () => {
  const thing = (apiVersion: string, kind: string): string =>
    `---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: x, namespace: shop }\n`;
  const core = await Core.of({
    'a.yaml':
      thing('apps/v1', 'Deployment') +
      thing('v1', 'ServiceAccount') +
      thing('rbac.authorization.k8s.io/v1', 'Role') +
      thing('v1', 'Servcie') +
      thing(istio, 'VirtualServices') +
      thing('gateway.networking.k8s.io/v1', 'HTTPRoutes') +
      thing('networking.istio.oi/v1', 'VirtualService') +
      service('cart'),
  });
  expect(core.keys()).toEqual([serviceKey('cart')]);
  expect(core.problems()).toEqual(
    [
      ['HTTPRoutes', 'gateway.networking.k8s.io/v1'],
      ['Servcie', 'v1'],
      ['VirtualService', 'networking.istio.oi/v1'],
      ['VirtualServices', istio],
    ].map(
      ([kind, version]) =>
        `error ${kind} shop/x: apiVersion "${version}": ` +
        `the kind ${kind} is not supported; the object has no effect`,
    ),
  );
  await core.write({ 'a.yaml': service('cart') });
  expect(core.problems()).toEqual([]);
});

test('hosts that differ by case or by a trailing dot are one host', async () => {
  const entry = (name: string, host: string): string => `---
apiVersion: ${istio}
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop }
spec: { hosts: ["${host}"], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: DNS }
`;
  const core = await Core.of({ 'a.yaml': entry('api', 'API.Example.com.') });
  const before = core.event('config one|service|shop|api:api.example.com');
  expect(before).toMatchObject({ service: { host: 'api.example.com' } });
  core.news();
  await core.write({ 'a.yaml': entry('api', 'api.example.COM') });
  expect(core.news()).toEqual([]);
});

test('the size of a file is bounded before it is read', () => {
  expect(defaultLimits.fileBytes).toBe(10 * 1024 * 1024);
});
