import { expect, it } from 'vitest';
import type { RawObject } from '../../../src/kind.ts';
import { Objects } from '../harness.ts';

const virtualService = (name: string, namespace: string, spec: object): RawObject => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name, namespace },
  spec,
});

it('a VirtualService without hosts needs one that delegates to it, and else that is told', () => {
  const leaf = virtualService('leaf', 'team', { http: [{ directResponse: { status: 200 } }] });
  const root = (namespace: string, delegate: object): RawObject =>
    virtualService('root', namespace, { hosts: ['a.test'], http: [{ delegate }] });
  const objects = new Objects();
  objects.put(leaf);
  const told = [
    'VirtualService team/leaf: warning: spec.hosts: is empty, and no VirtualService delegates to this one: it has no effect',
  ];
  expect(objects.problems()).toEqual(told);
  objects.put(root('shop', { name: 'leaf', namespace: 'team' }));
  expect(objects.problems()).toEqual([]);
  objects.remove(root('shop', {}));
  expect(objects.problems()).toEqual(told);
  objects.put(root('team', { name: 'leaf' }));
  expect(objects.problems()).toEqual([]);
});
