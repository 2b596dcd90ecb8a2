/** Hostnames of an HTTPRoute that no listener takes: what is told of them. */
import { expect, it } from 'vitest';
import { Objects } from '../harness.ts';

function told(hostnames: string, parentRefs = '[{ name: edge }]'): readonly string[] {
  return new Objects()
    .apply(
      `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: ours }
spec: { controllerName: watershed.dev/gateway-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge, namespace: shop }
spec:
  gatewayClassName: ours
  listeners:
    - { name: one, port: 80, protocol: HTTP, hostname: "*.example.com" }
    - { name: two, port: 81, protocol: HTTP, hostname: shop.test }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: a, namespace: shop }
spec:
  parentRefs: ${parentRefs}
  hostnames: ${hostnames}
  rules: [{ filters: [{ type: RequestRedirect, requestRedirect: { scheme: https } }] }]
`,
    )
    .problems()
    .filter((line) => line.includes('spec.hostnames'));
}

it('a hostname that no listener takes is told of beside others', () => {
  expect(told('[a.example.com, b.test, "*.test"]')).toEqual([
    'HTTPRoute shop/a: warning: spec.hostnames[1]: is served nowhere: no listener of its parents has ' +
      'such a hostname: "b.test"',
  ]);
});

it.each([
  ['each is taken by some listener', '[a.example.com, shop.test]', undefined],
  ['another parent may take it', '[a.example.com, b.test]', '[{ name: edge }, { name: gone }]'],
  ['none is taken, which is told of the parent', '[b.test]', undefined],
])('nothing is told of hostnames where %s', (_, hostnames, parents) => {
  expect(told(hostnames, parents)).toEqual([]);
});
