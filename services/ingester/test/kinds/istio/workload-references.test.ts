/** WorkloadEntries that nobody uses, or not all of: what is told of them. */
import { expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const apiVersion = 'networking.istio.io/v1';
const metadata = { name: 'vm', namespace: 'shop' };

function workload(spec: object = {}): RawObject {
  const full = { address: '10.0.0.1', labels: { app: 'vm' }, ...spec };
  return { apiVersion, kind: 'WorkloadEntry', metadata, spec: full };
}

function entry(resolution: string, app = 'vm'): RawObject {
  const ports = [{ number: 80, name: 'http', protocol: 'HTTP' }];
  const workloadSelector = { labels: { app } };
  const spec = { hosts: ['api.test'], ports, resolution, workloadSelector };
  return { apiVersion, kind: 'ServiceEntry', metadata, spec };
}

function service(port: object = {}): RawObject {
  const spec = { selector: { app: 'vm' }, ports: [{ name: 'web', port: 80, ...port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata, spec };
}

function told(...objects: readonly RawObject[]): readonly string[] {
  const all = new Objects();
  for (const one of objects) all.put(one);
  return all.problems().map((line) => line.replace('WorkloadEntry shop/vm: warning: spec.', ''));
}

it.each([
  ['a ServiceEntry', entry('STATIC')],
  ['a Service', service()],
])('one that %s selects is used, and else that is told', (_, selecting) => {
  const objects = new Objects();
  objects.put(workload());
  objects.put(selecting);
  expect(objects.problems()).toEqual([]);
  objects.remove(selecting);
  expect(objects.problems()).toEqual([
    'WorkloadEntry shop/vm: warning: spec.labels: no ServiceEntry or Service of namespace shop selects it: "app=vm"',
  ]);
  objects.put(entry('STATIC', 'other'));
  expect(objects.problems()).toHaveLength(1);
});

it('a DNS name is used by ServiceEntries that look names up', () => {
  const named = workload({ address: 'vm.test' });
  expect(told(named, entry('DNS'))).toEqual([]);
  expect(told(named, entry('STATIC'), service())).toEqual([
    'address: is no IP address: ServiceEntry shop/vm leaves it out: "vm.test"',
    'address: is no IP address: Service shop/vm leaves it out: "vm.test"',
  ]);
});

it('a port has the name of a port of what selects it, or of a target port', () => {
  const ported = workload({ ports: { http: 8080, htp: 8081 } });
  const strange = 'ports["htp"]: is no port of what selects it: 8081';
  expect(told(ported, entry('STATIC'))).toEqual([strange]);
  expect(told(ported, service({ targetPort: 'http' }))).toEqual([strange]);
  expect(told(ported, service({ targetPort: 'http' }), entry('STATIC'))).toEqual([strange]);
  expect(told(workload({ ports: { web: 8080 } }), service({ targetPort: 8080 }))).toEqual([]);
});
