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

test('what cannot be read is told with its line, and the rest is judged', async () => {
  await write('half.yaml', `${service}---\nkind: [\n---\n${service.replace('80', '0')}`);
  const { lines, failure } = await validate('half.yaml', 'absent.yaml');
  expect(lines[0]).toBe('absent.yaml does not exist');
  expect(lines.slice(1).join('\n')).toMatch(/^half\.yaml:\d+ Flow sequence .*BAD_INDENT/mu);
  expect(lines.join('\n')).toContain('shop/cart metadata.name: "cart": is written twice');
  expect(failure).toContain('errors');
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
