/** What is told of a reference to an object that is there and was refused. */
import { describe, expect, it } from 'vitest';
import { Objects } from './harness.ts';

const istio = 'networking.istio.io/v1';
const k8s = 'gateway.networking.k8s.io/v1';

function object(apiVersion: string, named: string, spec: object) {
  const [kind = '', namespace, name = ''] = named.split(/[ /]/u);
  return { apiVersion, kind, metadata: { namespace, name }, spec };
}

const own = (named: string): string => `${named} was refused (see its own diagnostics)`;

/** Refused, whatever the kind. */
const bad = { unknownField: 1 };
const badService = object('v1', 'Service shop/web', { ports: 'none' });
const badEntry = object(istio, 'ServiceEntry shop/db', { hosts: ['db.example.com'], ...bad });
const badGateway = object(istio, 'Gateway shop/edge', bad);
const badGrant = object('gateway.networking.k8s.io/v1beta1', 'ReferenceGrant data/grant', {});
const badNamespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'shop', labels: { edge: ['yes'] } },
};
const badSecret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { namespace: 'shop', name: 'cert' },
  type: 'kubernetes.io/tls',
  stringData: { 'tls.crt': 'no certificate' },
};

const to = (host: string, subset?: string) => ({
  route: [{ destination: { host, ...(subset === undefined ? {} : { subset }) } }],
});
const service = (name: string) =>
  object('v1', `Service ${name}`, { selector: { app: 'web' }, ports: [{ port: 80 }] });
const virtualService = (spec: object) => object(istio, 'VirtualService shop/route', spec);
const httpRoute = (spec: object) => object(k8s, 'HTTPRoute shop/route', spec);
const toBackend = (reference: object) =>
  httpRoute({ parentRefs: [{ name: 'edge' }], rules: [{ backendRefs: [reference] }] });
const listener = {
  name: 'https',
  port: 443,
  protocol: 'HTTPS',
  tls: { certificateRefs: [{ name: 'cert' }] },
};
const k8sGateway = (spec: object) => object(k8s, 'Gateway shop/edge', spec);
const goodGateway = k8sGateway({
  gatewayClassName: 'istio',
  listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }],
});
const istioGateway = (tls: object) => {
  const port = { number: 443, name: 'https', protocol: 'HTTPS' };
  const servers = [{ port, hosts: ['a.example.com'], tls }];
  return object(istio, 'Gateway shop/secure', { selector: { app: 'gw' }, servers });
};
const sidecar = (host: string) =>
  object(istio, 'Sidecar shop/own', {
    workloadSelector: { labels: { app: 'web' } },
    egress: [{ hosts: [host] }],
  });
const slice = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    namespace: 'shop',
    name: 'web-1',
    labels: { 'kubernetes.io/service-name': 'web' },
  },
  addressType: 'IPv4',
  endpoints: [
    { addresses: ['10.0.0.1'], targetRef: { kind: 'Pod', name: 'web-1' }, nodeName: 'n1' },
    { addresses: ['10.0.0.2'], targetRef: { kind: 'Pod', name: 'web-2' }, nodeName: 'n2' },
  ],
  ports: [{ port: 80 }],
};
const labels = { app: ['web'] };
const badPod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'web-2', labels },
};
const badNode = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1', labels } };

const cases = [
  [
    "a VirtualService's gateway",
    virtualService({ hosts: ['a.example.com'], gateways: ['edge'], http: [to('web')] }),
    [badGateway, service('shop/web')],
    `spec.gateways[0]: ${own('Gateway shop/edge')}: "edge"`,
  ],
  [
    "a VirtualService's Service",
    virtualService({ hosts: ['a.example.com'], http: [to('web')] }),
    [badService],
    `spec.http[0].route[0].destination.host: no Service or ServiceEntry in this cluster has host web.shop.svc.cluster.local; ${own('Service shop/web')}: "web"`,
  ],
  [
    "a VirtualService's ServiceEntry, by its host",
    virtualService({ hosts: ['a.example.com'], http: [to('db.example.com')] }),
    [badEntry],
    `spec.http[0].route[0].destination.host: no Service or ServiceEntry in this cluster has host db.example.com; ${own('ServiceEntry shop/db')}: "db.example.com"`,
  ],
  [
    "a VirtualService's delegate",
    virtualService({ hosts: ['a.example.com'], http: [{ delegate: { name: 'leaf' } }] }),
    [object(istio, 'VirtualService shop/leaf', bad)],
    `spec.http[0].delegate: ${own('VirtualService shop/leaf')}: the rule is left out: "shop/leaf"`,
  ],
  [
    'a subset, of a DestinationRule that names the host',
    virtualService({ hosts: ['a.example.com'], http: [to('web', 'v1')] }),
    [service('shop/web'), object(istio, 'DestinationRule shop/web', { host: 'web', ...bad })],
    `spec.http[0].route[0].destination.subset: no DestinationRule of web.shop.svc.cluster.local in this cluster has such a subset; ${own('DestinationRule shop/web')}: "v1"`,
  ],
  [
    "a DestinationRule's host",
    object(istio, 'DestinationRule shop/rule', { host: 'web' }),
    [badService],
    `spec.host: no Service or ServiceEntry in this cluster has host web.shop.svc.cluster.local; ${own('Service shop/web')}: "web"`,
  ],
  [
    "an Istio Gateway's Secret",
    istioGateway({ mode: 'SIMPLE', credentialName: 'cert' }),
    [badSecret],
    `spec.servers[0].tls.credentialName: ${own('Secret shop/cert')}: "cert"`,
  ],
  [
    "a Sidecar's host",
    sidecar('shop/web.shop.svc.cluster.local'),
    [badService],
    `spec.egress[0].hosts[0]: no Service, ServiceEntry or VirtualService of namespace shop in this cluster has host web.shop.svc.cluster.local; ${own('Service shop/web')}: "shop/web.shop.svc.cluster.local"`,
  ],
  [
    "a Sidecar's namespace, in which there is nothing else",
    sidecar('data/db.example.com'),
    [object(istio, 'VirtualService data/db', { hosts: ['db.example.com'], ...bad })],
    `spec.egress[0].hosts[0]: no Service, ServiceEntry or VirtualService of namespace data in this cluster has host db.example.com; ${own('VirtualService data/db')}: "data/db.example.com"`,
  ],
  [
    "what a Sidecar's wildcard would select",
    sidecar('./*'),
    [badService],
    `spec.egress[0].hosts: select no Service and no ServiceEntry: the listener serves nothing; ${own('Service shop/web')}: "./*"`,
  ],
  [
    'what would delegate to a VirtualService',
    virtualService({ http: [to('a.example.com')] }),
    [object(istio, 'VirtualService shop/root', bad)],
    `spec.hosts: is empty, and no VirtualService delegates to this one: it has no effect; ${own('VirtualService shop/root')}`,
  ],
  [
    'the Namespace that a listener selects',
    httpRoute({ parentRefs: [{ name: 'edge', namespace: 'infra' }] }),
    [
      badNamespace,
      object(k8s, 'Gateway infra/edge', {
        gatewayClassName: 'istio',
        listeners: [
          {
            ...{ name: 'http', port: 80, protocol: 'HTTP' },
            allowedRoutes: {
              namespaces: { from: 'Selector', selector: { matchLabels: { edge: 'yes' } } },
            },
          },
        ],
      }),
    ],
    `spec.parentRefs[0]: has no listener that allows HTTPRoutes of this namespace; ${own('Namespace shop')}: "Gateway infra/edge"`,
  ],
  [
    'what would select a WorkloadEntry',
    object(istio, 'WorkloadEntry shop/vm', { address: '10.0.0.9', labels: { app: 'web' } }),
    [badService, badEntry],
    'spec.labels: no ServiceEntry or Service of namespace shop selects it; ServiceEntry shop/db, Service shop/web were refused (see their own diagnostics): "app=web"',
  ],
  [
    "an EndpointSlice's Service",
    slice,
    [badService],
    `metadata.labels["kubernetes.io/service-name"]: ${own('Service shop/web')}: "web"`,
  ],
  [
    "an EndpointSlice's Pod",
    slice,
    [service('shop/web'), badPod],
    `endpoints[1].targetRef: ${own('Pod shop/web-2')}: the endpoint has no labels and no service account of it: "web-2"`,
  ],
  [
    "an EndpointSlice's Node",
    slice,
    [service('shop/web'), badNode],
    `endpoints[0].nodeName: ${own('Node n1')}: the endpoint has no locality of it: "n1"`,
  ],
  [
    "an HTTPRoute's parent",
    httpRoute({ parentRefs: [{ name: 'edge' }] }),
    [k8sGateway(bad)],
    `spec.parentRefs[0]: ${own('Gateway shop/edge')}: "Gateway shop/edge"`,
  ],
  [
    "an HTTPRoute's parent, a Service",
    httpRoute({ parentRefs: [{ group: '', kind: 'Service', name: 'web' }] }),
    [badService],
    `spec.parentRefs[0]: ${own('Service shop/web')}: "Service shop/web"`,
  ],
  [
    "a Gateway's class",
    k8sGateway({ gatewayClassName: 'mine', listeners: [listener] }),
    [object(k8s, 'GatewayClass /mine', bad)],
    `spec.gatewayClassName: the Gateway is left alone: ${own('GatewayClass mine')}: "mine"`,
  ],
  [
    "a Gateway's Secret",
    k8sGateway({ gatewayClassName: 'istio', listeners: [listener] }),
    [badSecret],
    `spec.listeners[0].tls.certificateRefs[0]: ${own('Secret shop/cert')}: "cert"`,
  ],
  [
    "a Gateway's Service",
    k8sGateway({
      gatewayClassName: 'istio',
      listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }],
      addresses: [{ type: 'Hostname', value: 'web' }],
    }),
    [badService],
    `spec.addresses[0]: is left out: ${own('Service shop/web')}: "web"`,
  ],
  [
    "a backend's Service",
    toBackend({ name: 'web', port: 80 }),
    [badService, goodGateway],
    `spec.rules[0].backendRefs[0]: ${own('Service shop/web')}: its share gets 500: "web"`,
  ],
  [
    "a backend's ServiceEntry",
    toBackend({
      group: 'networking.istio.io',
      kind: 'Hostname',
      name: 'db.example.com',
      port: 80,
    }),
    [badEntry, goodGateway],
    `spec.rules[0].backendRefs[0]: no ServiceEntry has host db.example.com; ${own('ServiceEntry shop/db')}: its share gets 500: "db.example.com"`,
  ],
  [
    'what would allow a backend of another namespace',
    toBackend({ name: 'db', namespace: 'data', port: 80 }),
    [badGrant, goodGateway],
    `spec.rules[0].backendRefs[0]: no ReferenceGrant of namespace data allows Service db; ${own('ReferenceGrant data/grant')}: its share gets 500: "db"`,
  ],
] as const;

function told(...objects: readonly Parameters<Objects['put']>[0][]): readonly string[] {
  const world = new Objects();
  for (const one of objects) world.put(one);
  return linesOf(world);
}

/** Of what refers: without its name, and without what is told of those that were refused. */
function linesOf(world: Objects): readonly string[] {
  return world
    .problems()
    .filter((line) => line.includes(': warning: '))
    .map((line) => line.replace(/^.*: warning: /u, ''));
}

describe('an object that was refused is named where it is missed', () => {
  it.each(cases)('%s', (_, refers, others, expected) => {
    expect(told(refers, ...others)).toContain(expected);
    expect(told(...others, refers)).toContain(expected);
  });

  it('until it is mended, and is not found when it has gone', () => {
    const field = 'spec.http[0].route[0].destination.host';
    const none = `${field}: no Service or ServiceEntry in this cluster has host web.shop.svc.cluster.local`;
    const world = new Objects();
    world.put(virtualService({ hosts: ['a.example.com'], http: [to('web')] }));
    expect(linesOf(world)).toEqual([`${none}: "web"`]);
    world.put(badService);
    expect(linesOf(world)).toEqual([`${none}; ${own('Service shop/web')}: "web"`]);
    world.remove(badService);
    expect(linesOf(world)).toEqual([`${none}: "web"`]);
    world.put(badService);
    world.put(service('shop/web'));
    expect(linesOf(world)).toEqual([]);
  });

  it('but not where its last good version counts', () => {
    const refers = virtualService({ hosts: ['a.example.com'], http: [to('web')] });
    expect(told(refers, service('shop/web'), badService)).toEqual([]);
  });

  it('only the first few, where there are many', () => {
    const entries = [1, 2, 3, 4, 5].map((at) => object(istio, `ServiceEntry shop/e${at}`, bad));
    const workload = { address: '10.0.0.9', labels: { app: 'web' } };
    const lines = told(object(istio, 'WorkloadEntry shop/vm', workload), ...entries);
    expect(lines.join()).toContain(
      '; ServiceEntry shop/e1, ServiceEntry shop/e2, ServiceEntry shop/e3, 2 more were refused',
    );
  });
});
