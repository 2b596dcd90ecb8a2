/** What a change of one object emits again: those that looked at it, and nobody else. */
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { RawObject } from '../../src/kind.ts';
import { meshConfigObject, meshNames } from '../../src/kinds/core/mesh-config.ts';
import { Objects } from './harness.ts';

const shop = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge, namespace: infra }
spec:
  gatewayClassName: ours
  listeners:
    - name: http
      port: 80
      protocol: HTTP
      allowedRoutes: { namespaces: { from: Selector, selector: { matchLabels: { team: shop } } } }
    - name: tls
      port: 443
      protocol: HTTPS
      tls: { certificateRefs: [{ name: cert, namespace: certs }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: shop, namespace: shop }
spec:
  parentRefs: [{ name: edge, namespace: infra }]
  rules: [{ backendRefs: [{ name: web, port: 80 }, { name: db, namespace: data, port: 80 }] }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: other, namespace: other }
spec: { parentRefs: [{ name: gone }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: root, namespace: shop }
spec: { hosts: [a.b], http: [{ delegate: { name: leaf, namespace: team } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: plain, namespace: shop }
spec: { hosts: [c.d], http: [{ route: [{ destination: { host: web } }] }], exportTo: ["*"] }
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: { name: vm, namespace: shop, labels: { app: vm } }
spec: { address: 10.0.0.1 }
`;

const objectClass = object(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: ours }
spec: { controllerName: watershed.dev/gateway-controller }`);
const namespace = object(`
{ apiVersion: v1, kind: Namespace, metadata: { name: shop, labels: { team: shop } } }`);
const service = object(`
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: vm }, ports: [{ port: 80 }] }`);
const data = object(`
apiVersion: v1
kind: Service
metadata: { name: db, namespace: data }
spec: { ports: [{ port: 80 }] }`);
const grant = object(`
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: grant, namespace: data }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop }]
  to: [{ group: "", kind: Service }]`);
const secretGrant = object(`
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: grant, namespace: certs }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: Gateway, namespace: infra }]
  to: [{ group: "", kind: Secret }]`);
const leaf = object(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: leaf, namespace: team }
spec: { http: [{ route: [{ destination: { host: leaf } }] }] }`);
const entry = object(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: vms, namespace: shop }
spec:
  hosts: [vm.shop]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  workloadSelector: { labels: { app: vm } }`);
const pod = object(`
apiVersion: v1
kind: Pod
metadata: { name: vm-pod, namespace: shop, labels: { app: vm } }
status: { podIP: 10.0.0.2, conditions: [{ type: Ready, status: "True" }] }`);
const slice = object(`
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: by-hand, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
endpoints: [{ addresses: [10.0.0.2] }, { addresses: [10.0.0.3] }]`);
const otherPod = object(`
apiVersion: v1
kind: Pod
metadata: { name: elsewhere, namespace: shop }
status: { podIP: 10.0.0.4 }`);

function object(yaml: string): RawObject {
  return parse(yaml);
}

function world(...more: readonly RawObject[]): Objects {
  const objects = new Objects().apply(shop);
  for (const one of more) objects.put(one);
  objects.events();
  return objects;
}

/** How often emitters ran while the change came in, by kind; those that did not are not listed. */
function ran(objects: Objects, change: () => void): Record<string, number> {
  const before = new Map(objects.graph.computed);
  change();
  objects.events();
  const entries = [...objects.graph.computed]
    .map(([name, count]): [string, number] => [
      name.replace(/^emit .*\//u, ''),
      count - (before.get(name) ?? 0),
    ])
    .filter(([, count]) => count > 0);
  return Object.fromEntries(entries);
}

describe('a change of', () => {
  it.each([
    [
      'a GatewayClass',
      [namespace, service],
      objectClass,
      { GatewayClass: 1, Gateway: 1, HTTPRoute: 1 },
    ],
    ["a namespace's labels", [objectClass], namespace, { Namespace: 1, HTTPRoute: 1 }],
    [
      'a Service',
      [objectClass, namespace],
      service,
      { Service: 1, HTTPRoute: 1, VirtualService: 1, WorkloadEntry: 1 },
    ],
    [
      'a ReferenceGrant for routes',
      [objectClass, namespace, service, data],
      grant,
      { ReferenceGrant: 1, HTTPRoute: 1 },
    ],
    [
      'a ReferenceGrant for Gateways',
      [objectClass],
      secretGrant,
      { ReferenceGrant: 1, Gateway: 1 },
    ],
    ['a delegate', [], leaf, { VirtualService: 2 }],
    ['a ServiceEntry that selects', [], entry, { ServiceEntry: 1, WorkloadEntry: 1 }],
    ['a Pod', [entry], pod, { Pod: 1, ServiceEntry: 1 }],
    [
      'a Pod that a slice does not name',
      [slice, otherPod],
      pod,
      { Pod: 1, EndpointSlice: 1, 'any /Pod': 1 },
    ],
    ['a Pod of another address', [slice, pod], otherPod, { Pod: 1, 'any /Pod': 1 }],
  ] as const)('%s emits again those that read it', (_, before, changed, expected) => {
    const objects = world(...before);
    expect(ran(objects, () => objects.put(changed))).toEqual(expected);
  });

  it('the mesh emits again those that take their visibility from it', () => {
    const objects = world(leaf);
    const all = objects.fingerprint();
    const mesh = meshConfigObject(meshNames.file, { defaultVirtualServiceExportTo: ['.'] });
    const computed = ran(objects, () => objects.put(mesh));
    expect(computed).toMatchObject({ MeshConfig: 1, VirtualService: 1 });
    expect(objects.fingerprint()).not.toBe(all);
    // The delegate is exported to nobody else by now.
    expect(objects.problems().join('\n')).toContain('is not exported to shop');
    expect(objects.readable()).not.toHaveProperty(['config one|route|shop|root']);
  });
});

describe('an HTTPRoute', () => {
  const backends = (objects: Objects): unknown =>
    objects.readable()['config one|route|shop|httproute:shop'];

  it('is attached when its Gateway, class and namespace allow it, and let go when one does not', () => {
    const objects = world(objectClass, service, data, grant);
    expect(backends(objects)).toBeUndefined();
    objects.put(namespace);
    expect(backends(objects)).toMatchObject({
      route: { parents: [{ gateway: { listener: 'http' } }] },
    });
    objects.remove(objectClass);
    expect(backends(objects)).toBeUndefined();
  });

  it('says why a backend cannot be used, until it can', () => {
    const objects = world(objectClass, namespace);
    const invalids = (): unknown[] => {
      const route = backends(objects) as {
        route: { rules: [{ forward: { backends: { invalid?: string }[] } }] };
      };
      return route.route.rules[0].forward.backends.map(({ invalid }) => invalid);
    };
    expect(invalids()).toEqual([
      'Service shop/web is not found in this cluster',
      'no ReferenceGrant of namespace data allows Service db',
    ]);
    objects.put(service);
    objects.put(grant);
    expect(invalids()).toEqual([undefined, 'Service data/db is not found in this cluster']);
    objects.put(data);
    expect(invalids()).toEqual([undefined, undefined]);
    objects.remove(grant);
    expect(invalids()).toEqual([
      undefined,
      'no ReferenceGrant of namespace data allows Service db',
    ]);
  });
});
