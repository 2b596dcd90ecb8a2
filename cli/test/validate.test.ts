import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { xdsctl } from './support.ts';

let root = '';

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'watershed-validate-'));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function write(name: string, text: string): Promise<void> {
  const path = join(root, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** What was printed, with paths relative to the test's directory, and what it failed with. */
async function validate(
  ...paths: readonly string[]
): Promise<{ lines: readonly string[]; failure: string }> {
  const { lines, failure } = await xdsctl('validate', ...paths.map((path) => join(root, path)));
  return { lines: lines.map((line) => line.replaceAll(`${root}/`, '')), failure };
}

const service = `apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
`;

test('the sample shop has no problem', async () => {
  const shop = join(import.meta.dirname, '../../examples/shop');
  const { lines } = await xdsctl('validate', shop);
  expect(lines).toEqual(['20 objects in 6 files: 0 errors, 0 warnings']);
});

test('each problem is a line with file, line, object, field, value and reason', async () => {
  await write(
    'bad.yaml',
    `${service}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{route: [{destination: {host: cart}}], tiemout: 3s}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  ports: [{port: 99999}]
`,
  );
  expect(await validate('bad.yaml')).toEqual({
    lines: [
      'bad.yaml:7 VirtualService shop/cart spec.http[0].tiemout: "3s": no such field in HTTPRoute',
      'bad.yaml:14 Service shop/web spec.ports[0].port: 99999: must be from 1 to 65535',
    ],
    failure: '3 objects in 1 file: 2 errors, 0 warnings',
  });
});

test('a reference to an object that was refused says so, whichever file is read first', async () => {
  const route = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example.com]
  gateways: [edge]
  http: [{route: [{destination: {host: cart}}]}]
`;
  await write('a.yaml', `${service}---\n${route}`);
  await write(
    'b.yaml',
    `apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selectors: {app: edge}}
`,
  );
  const { lines } = await validate('.');
  expect(lines).toContain(
    'a.yaml:7 VirtualService shop/cart spec.gateways[0]: "edge": warning: Gateway shop/edge was refused (see its own diagnostics)',
  );
  expect(lines.filter((line) => line.startsWith('b.yaml:'))).not.toEqual([]);
});

test('what cannot be read is told with its line, and the rest is judged', async () => {
  await write('half.yaml', `${service}---\nkind: [\n---\n${service.replace('80', '0')}`);
  const { lines, failure } = await validate('half.yaml', 'absent.yaml');
  expect(lines[0]).toBe('absent.yaml does not exist');
  expect(lines.slice(1).join('\n')).toMatch(/^half\.yaml:\d+ Flow sequence .*BAD_INDENT/mu);
  expect(lines.join('\n')).toContain('shop/cart metadata.name: "cart": is written twice');
  expect(failure).toContain('errors');
});

test('an object that is written again is told of at each place that is not used', async () => {
  await write('a.yaml', service.replace('80', '0'));
  await write('b.yaml', service);
  await write('c.yaml', `# Moved.\n${service}`);
  const text = 'Service shop/cart metadata.name: "cart": is written 3 times';
  const { lines } = await validate('.');
  expect(lines.map((line) => line.slice(0, line.indexOf(';')))).toEqual([
    `a.yaml:1 ${text}`,
    `c.yaml:2 ${text}`,
  ]);
});

test('what is no file is said to be none, a directory in place of the MeshConfig among them', async () => {
  expect(await xdsctl('validate', '/dev/null')).toEqual({
    lines: ['/dev/null is neither a file nor a directory'],
    notes: [],
    failure: '0 objects in 0 files: 1 error, 0 warnings',
  });
  const { lines } = await xdsctl('validate', '--meshConfig', root);
  expect(lines).toEqual([`${root} is no file`]);
});

test('files are judged together: an object in another file is known', async () => {
  const route = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart, port: 80}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
`;
  await write('all/route.yaml', route);
  const alone = await validate('all');
  expect(alone.lines.join('\n')).toContain('HTTPRoute shop/cart');
  await write('all/service.yaml', service);
  expect(await validate('all')).toEqual({
    lines: ['2 objects in 2 files: 0 errors, 0 warnings'],
    failure: '',
  });
});

test('all that is wrong with an object is told at once, in its form and in its values', async () => {
  const route = 'route: [{ destination: { host: cart }, weight: -1 }]';
  await write(
    'bad.yaml',
    `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [c_t]
  http:
  - { timeout: 5, ${route} }
  - { match: [{ uri: { regex: "(" } }], ${route} }
`,
  );
  const { lines } = await validate('bad.yaml');
  expect(lines.map((line) => line.replace(/^.*? spec/u, 'spec').replace(/"c_t".*/u, ''))).toEqual([
    expect.stringContaining('spec.http[0].timeout: 5: expected a duration'),
    'spec.hosts[0]: ',
    expect.stringContaining('spec.http[0].route[0].weight: -1'),
    expect.stringContaining('spec.http[1].match[0].uri.regex: "("'),
    expect.stringContaining('spec.http[1].route[0].weight: -1'),
  ]);
});

test('an object of a kind that is not known is one of the objects', async () => {
  await write(
    'filter.yaml',
    service.replace('v1', 'networking.istio.io/v1').replace('Service', 'X'),
  );
  const { failure } = await validate('filter.yaml');
  expect(failure).toBe('1 object in 1 file: 1 error, 0 warnings');
});

test('a MeshConfig is judged with the files, and as the service would start with it', async () => {
  await write('all/service.yaml', service);
  await write(
    'mesh.yaml',
    'trustDomain: a b\nconnectTimeout: 10\nconfigSources: [{address: k8s://}]\n',
  );
  const mesh = join(root, 'mesh.yaml');
  const { lines, failure } = await xdsctl('validate', join(root, 'all'), '--meshConfig', mesh);
  expect(lines.map((line) => line.replaceAll(`${root}/`, ''))).toEqual([
    expect.stringContaining('mesh.yaml:1 MeshConfig file connectTimeout: 10: expected a dur'),
    expect.stringContaining('mesh.yaml:1 MeshConfig file trustDomain: "a b": is no host'),
    expect.stringContaining('MeshConfig file configSources[0].address: "k8s://": expected a dir'),
  ]);
  expect(failure).toBe('2 objects in 2 files: 3 errors, 0 warnings');
  await write('mesh.yaml', 'accessLogFile: /dev/stdout\nenableTracing: true\n');
  await rm(join(root, 'all'), { recursive: true });
  // The directory that it lies in has it once.
  const { lines: told } = await xdsctl('validate', `${root}/`, '--meshConfig', mesh);
  expect(told).toEqual([
    `${mesh}:1 MeshConfig file enableTracing: true: warning: is not supported and has no effect`,
    '1 object in 1 file: 0 errors, 1 warning',
  ]);
});

test('the directories that a MeshConfig names are judged as well, each file once', async () => {
  await write('all/bad.yaml', service.replace('80', '0'));
  await write('all/route/half.yaml', 'a: [');
  const named = [join(root, 'all'), `${root}/all/route/`, join(root, 'none')];
  const sources = named.map((path) => `{ address: "fs://${path}" }`).join(', ');
  await write('mesh.yaml', `configSources: [${sources}]\n`);
  const mesh = ['--meshConfig', join(root, 'mesh.yaml')];
  for (const paths of [[], [`${root}/./all/route`], [root]]) {
    const { lines, failure } = await xdsctl('validate', ...paths, ...mesh);
    expect(lines.map((line) => line.replaceAll(/.*watershed-validate-[^/]*\//gu, ''))).toEqual([
      expect.stringMatching(/^all\/bad\.yaml:1 Service shop\/cart spec\.ports\[0\]\.port: 0/u),
      expect.stringMatching(/^all\/route\/half\.yaml:1 Flow sequence/u),
      'none warning: does not exist',
    ]);
    expect(failure).toBe('2 objects in 3 files: 2 errors, 1 warning');
  }
});
