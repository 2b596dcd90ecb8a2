/**
 * Objects of every kind, with every field that is not at its default somewhere, and proxies of
 * every type. As JSON of the model's messages; enums by name.
 */
import { Event } from '@watershed/model/gen/model.ts';
import { ScopeClass } from '@watershed/model/gen/record.ts';
import { configKey, endpointsKey } from '@watershed/model/keys.ts';
import type { ConfigKind } from '@watershed/model/keys.ts';
import type { Corpus, Input } from './bed.ts';

type Json = Readonly<Record<string, unknown>>;

function object(kind: ConfigKind, path: string, value: Json, cluster = 'c1'): Input {
  const [namespace = '', name = ''] = path.split('/');
  const key = configKey({ cluster, kind, namespace, name });
  return { topic: 'config', key, object: Event.fromJSON({ [kind]: value }).object };
}

function endpoints(host: string, namespace: string, list: readonly Json[], slice = 'a'): Input {
  const key = endpointsKey({ host, cluster: 'c1', kind: 'slice', namespace, name: slice });
  const value = { host, namespace, endpoints: list };
  return { topic: 'endpoints', key, object: Event.fromJSON({ endpoints: value }).object };
}

function service(path: string, value: Json): Input {
  const [namespace = '', name = ''] = path.split('/');
  const host = `${name}.${namespace}.svc.cluster.local`;
  return object('service', path, { host, namespace, name, exportTo: ['*'], ...value });
}

const http = { number: 80, name: 'http', protocol: 'PROTOCOL_HTTP', targetPort: 8080 };
const tcp = { number: 9000, name: 'tcp', protocol: 'PROTOCOL_TCP', targetPortName: 'data' };
const grpc = { number: 7070, name: 'grpc', protocol: 'PROTOCOL_GRPC', targetPort: 7070 };

const services: readonly Input[] = [
  service('shop/web', {
    ports: [http],
    addresses: ['10.96.0.1'],
    selector: { app: 'web' },
    createdMs: 5,
  }),
  service('shop/cart', { ports: [http, tcp], addresses: ['10.96.0.2'], selector: { app: 'cart' } }),
  service('shop/db', { ports: [tcp], headless: true, selector: { app: 'db' }, exportTo: ['shop'] }),
  service('pay/pay', { ports: [grpc], addresses: ['10.96.0.3'], selector: { app: 'pay' } }),
  service('pay/old', {
    ports: [http],
    externalName: 'old.example.com',
    resolution: 'RESOLUTION_DNS',
  }),
  object('service', 'shop/ext:api.example.com', {
    host: 'api.example.com',
    namespace: 'shop',
    name: 'ext',
    origin: 'ORIGIN_SERVICE_ENTRY',
    ports: [
      { number: 443, name: 'tls', protocol: 'PROTOCOL_TLS' },
      { ...http, targetPort: 0 },
    ],
    resolution: 'RESOLUTION_DNS',
    meshExternal: true,
    exportTo: ['*'],
    subjectAltNames: ['api.example.com'],
  }),
  object('service', 'shop/any:*.wild.example', {
    host: '*.wild.example',
    namespace: 'shop',
    name: 'any',
    origin: 'ORIGIN_SERVICE_ENTRY',
    ports: [http],
    resolution: 'RESOLUTION_NONE',
    meshExternal: true,
    exportTo: ['*'],
  }),
];

const zoned = (address: string, zone: string, labels: Json = {}): Json => ({
  address,
  ports: { http: 8080, tcp: 9000, grpc: 7070 },
  labels,
  locality: { region: 'r1', zone },
  weight: 2,
  serviceAccount: 'sa',
  mtls: true,
});

const allEndpoints: readonly Input[] = [
  endpoints('web.shop.svc.cluster.local', 'shop', [
    zoned('10.0.0.1', 'z1', { app: 'web', version: 'v1' }),
    zoned('10.0.0.2', 'z2', { app: 'web', version: 'v2' }),
  ]),
  endpoints(
    'web.shop.svc.cluster.local',
    'shop',
    [{ ...zoned('10.0.0.3', 'z1'), health: 'HEALTH_DRAINING' }],
    'b',
  ),
  endpoints('cart.shop.svc.cluster.local', 'shop', [{ ...zoned('10.0.1.1', 'z1'), network: 'n2' }]),
  endpoints('db.shop.svc.cluster.local', 'shop', [
    { ...zoned('10.0.2.1', 'z1'), hostname: 'db-0' },
  ]),
  object('destinations', 'shop/slice:a:db', {
    host: 'db.shop.svc.cluster.local',
    namespace: 'shop',
    addresses: [{ address: '10.0.2.1', portNames: ['tcp'] }],
  }),
  endpoints('pay.pay.svc.cluster.local', 'pay', [{ ...zoned('10.0.3.1', 'z2'), mtls: false }]),
  endpoints('api.example.com', 'shop', [{ address: 'api-1.example.com', ports: { tls: 443 } }]),
];

const traffic = {
  loadBalancer: {
    algorithm: 'LB_ALGORITHM_LEAST_REQUEST',
    locality: { enabled: true, failover: [{ from: 'r1', to: 'r2' }] },
    warmupMs: 30_000,
    warmupAggression: 1.5,
    warmupMinimumPercent: 10,
  },
  connectionPool: {
    maxConnections: 10,
    connectTimeoutMs: 700,
    tcpKeepalive: { probes: 3, timeS: 60, intervalS: 5 },
    tcpIdleTimeoutMs: 900,
    http1MaxPendingRequests: 11,
    http2MaxRequests: 12,
    maxRequestsPerConnection: 13,
    maxRetries: 4,
    idleTimeoutMs: 800,
    h2Upgrade: 'H2_UPGRADE_UPGRADE',
    maxConcurrentStreams: 14,
  },
  outlierDetection: {
    consecutive5xx: 5,
    consecutiveGatewayErrors: 6,
    splitExternalLocalOriginErrors: true,
    consecutiveLocalOriginFailures: 7,
    intervalMs: 8_000,
    baseEjectionTimeMs: 9_000,
    maxEjectionPercent: 50,
    minHealthPercent: 20,
  },
};

const policies: readonly Input[] = [
  object('policy', 'shop/web', {
    host: 'web.shop.svc.cluster.local',
    exportTo: ['*'],
    traffic: {
      ...traffic,
      ports: [{ port: 80, traffic: { connectionPool: { maxConnections: 99 } } }],
    },
    subsets: [
      { name: 'v1', labels: { version: 'v1' } },
      {
        name: 'v2',
        labels: { version: 'v2' },
        traffic: { loadBalancer: { algorithm: 'LB_ALGORITHM_RANDOM' } },
      },
    ],
    createdMs: 3,
  }),
  object('policy', 'shop/cart', {
    host: 'cart.shop.svc.cluster.local',
    exportTo: ['*'],
    traffic: {
      loadBalancer: {
        hash: { cookie: { name: 'session', path: '/', ttlMs: 1_000 } },
        minimumRingSize: 1024,
      },
      tls: { mode: 'CLIENT_TLS_MODE_ISTIO_MUTUAL' },
    },
  }),
  object('policy', 'shop/ext', {
    host: 'api.example.com',
    exportTo: ['shop'],
    traffic: {
      tls: {
        mode: 'CLIENT_TLS_MODE_SIMPLE',
        sni: 'api.example.com',
        subjectAltNames: ['api.example.com'],
        caCertificates: '/etc/ca.pem',
      },
    },
  }),
  object('policy', 'istio-system/default', {
    host: '*.svc.cluster.local',
    exportTo: ['*'],
    traffic: { connectionPool: { maxConnections: 500 } },
  }),
  object('policy', 'shop/of-cart', {
    host: 'pay.pay.svc.cluster.local',
    exportTo: ['shop'],
    workloadSelector: { app: 'cart' },
    traffic: { connectionPool: { maxConnections: 1 } },
  }),
];

const backend = (name: string, fields: Json = {}): Json => ({
  host: `${name}.shop.svc.cluster.local`,
  port: 80,
  weight: 1,
  ...fields,
});

const rules: readonly Json[] = [
  {
    name: 'canary',
    matches: [
      {
        name: 'm',
        path: { prefix: '/v2' },
        method: { exact: 'GET' },
        headers: [{ name: 'x-canary', value: { regex: 'yes|on' }, invert: true }],
        queryParams: [{ name: 'q', value: { present: true } }],
        sourceLabels: { app: 'web' },
        ignorePathCase: true,
      },
    ],
    forward: {
      backends: [
        backend('web', { subset: 'v1', weight: 90 }),
        backend('web', { subset: 'v2', weight: 10, requestHeaders: { set: { a: 'b' } } }),
      ],
    },
    rewrite: { authority: 'web.internal', prefix: '/' },
    timeoutMs: 5_000,
    retry: {
      attempts: 3,
      perTryTimeoutMs: 1_000,
      retryOn: '5xx',
      backoffMs: 25,
      statusCodes: [503],
    },
    fault: { delayPercent: 1, delayMs: 10, abortPercent: 2, abortHttpStatus: 503 },
    mirrors: [{ backend: backend('cart'), percent: 5 }],
    requestHeaders: { set: { 'x-a': '1' }, add: { 'x-b': '2' }, remove: ['x-c'] },
    responseHeaders: { set: { 'x-d': '1' }, add: { 'x-e': '2' }, remove: ['x-f'] },
    cors: {
      allowOrigins: [{ exact: 'https://shop.example' }],
      allowMethods: ['GET'],
      allowHeaders: ['x-g'],
      exposeHeaders: ['x-h'],
      maxAgeS: 60,
      allowCredentials: true,
    },
  },
  {
    matches: [{ path: { exact: '/old' } }],
    redirect: { host: 'new.example', path: '/new', code: 301 },
  },
  { matches: [{ path: { pathPrefix: '/gone' } }], directResponse: { status: 410, body: 'gone' } },
  { matches: [], forward: { backends: [backend('web')] } },
];

const gatewayParent = (name: string, listener = ''): Json => ({
  gateway: { namespace: 'shop', name, listener },
});

const routes: readonly Input[] = [
  object('route', 'shop/web', {
    hosts: ['web.shop.svc.cluster.local'],
    parents: [{ mesh: true }],
    rules,
    exportTo: ['*'],
    createdMs: 1,
  }),
  object('route', 'shop/edge', {
    hosts: ['shop.example', '*.shop.example'],
    parents: [gatewayParent('edge'), gatewayParent('api', 'https')],
    rules: [
      { ...rules[0], matches: [{ path: { prefix: '/' }, gateways: [gatewayParent('edge')] }] },
      rules[3],
    ],
    exportTo: ['*'],
  }),
  object('route', 'shop/http', {
    hosts: ['api.shop.example'],
    parents: [gatewayParent('api', 'http')],
    rules: [
      { matches: [{ path: { pathPrefix: '/' } }], forward: { backends: [backend('cart')] } },
      {
        matches: [{ path: { exact: '/x' } }],
        forward: { backends: [backend('cart', { invalid: 'absent' })] },
      },
    ],
    exportTo: ['*'],
    bySpecificity: true,
  }),
];

const gateways: readonly Input[] = [
  object('gateway', 'shop/edge', {
    selector: { istio: 'ingress' },
    listeners: [
      {
        name: 'http',
        port: 80,
        protocol: 'PROTOCOL_HTTP',
        hosts: [{ namespace: '*', host: '*' }],
        tls: { httpsRedirect: true },
      },
      {
        name: 'https',
        port: 443,
        protocol: 'PROTOCOL_HTTPS',
        hosts: [{ namespace: '*', host: 'shop.example' }],
        tls: {
          mode: 'SERVER_TLS_MODE_MUTUAL',
          credentials: ['kubernetes://shop/cert'],
          minVersion: 'TLS_VERSION_1_2',
          cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'],
          subjectAltNames: ['client.example'],
        },
      },
    ],
    createdMs: 2,
  }),
  object('gateway', 'shop/api', {
    selector: { istio: 'ingress' },
    sameNamespace: true,
    listeners: [
      {
        name: 'http',
        port: 8080,
        protocol: 'PROTOCOL_HTTP',
        hosts: [{ namespace: 'shop', host: '*' }],
      },
      {
        name: 'https',
        port: 8443,
        protocol: 'PROTOCOL_HTTPS',
        hosts: [{ namespace: 'shop', host: '*.shop.example' }],
        tls: { mode: 'SERVER_TLS_MODE_SIMPLE', credentials: ['kubernetes://shop/cert'] },
      },
    ],
  }),
];

const others: readonly Input[] = [
  object('mesh', '/default', {
    rootNamespace: 'istio-system',
    trustDomain: 'cluster.local',
    trustDomainAliases: ['old.local'],
    connectTimeoutMs: 10_000,
    protocolDetectionTimeoutMs: 100,
    autoMtls: true,
    accessLogFile: '/dev/stdout',
    accessLogFormat: '%PROTOCOL%',
    defaultServiceExportTo: ['*'],
    defaultRouteExportTo: ['*'],
    defaultPolicyExportTo: ['*'],
    tcpKeepalive: { probes: 9 },
    defaultHttpRetry: { attempts: 2, retryOn: 'connect-failure' },
    localityLb: { enabled: true },
    proxyListenPort: 15_001,
    proxyInboundListenPort: 15_006,
    domain: 'cluster.local',
  }),
  object('namespace', '/shop', { labels: { team: 'a' } }),
  object('namespace', '/pay', { labels: { team: 'b' } }),
  object('secret', 'shop/cert', {
    sealed: 'c2VhbGVk',
    keyId: 'k1',
    hasCertificate: true,
    hasCa: true,
  }),
  object('scope', 'pay/default', {
    egress: [
      {
        hosts: [
          { namespace: 'shop', host: '*' },
          { namespace: 'pay', host: 'pay.pay.svc.cluster.local' },
        ],
      },
    ],
    outboundMode: 'OUTBOUND_MODE_REGISTRY_ONLY',
    createdMs: 4,
  }),
  object('scope', 'shop/cart', {
    workloadSelector: { app: 'cart' },
    egress: [
      {
        port: 9_080,
        protocol: 'PROTOCOL_HTTP',
        portName: 'e',
        bind: '127.0.0.1',
        captureMode: 'CAPTURE_MODE_NONE',
        hosts: [{ namespace: '*', host: 'web.shop.svc.cluster.local' }],
      },
      { hosts: [{ namespace: '*', host: '*' }] },
    ],
    ingress: [
      { port: 8_080, protocol: 'PROTOCOL_HTTP', portName: 'in', defaultEndpoint: '127.0.0.1:8081' },
    ],
    inboundConnectionPool: { maxConnections: 7, idleTimeoutMs: 6_000, maxRequestsPerConnection: 3 },
  }),
];

function proxy(fields: Json): ScopeClass {
  const namespace = String(fields['namespace']);
  return ScopeClass.fromJSON({
    type: 'PROXY_TYPE_SIDECAR',
    cluster: 'c1',
    dnsDomain: `${namespace}.svc.cluster.local`,
    interception: 'REDIRECT',
    certificates: true,
    ...fields,
  });
}

const all: Corpus = {
  inputs: [...others, ...services, ...allEndpoints, ...policies, ...routes, ...gateways],
  scopes: [
    proxy({ namespace: 'shop', labels: { app: 'web' }, region: 'r1', zone: 'z1' }),
    proxy({ namespace: 'shop', labels: { app: 'cart' }, network: 'n2', podPorts: { data: 9000 } }),
    proxy({
      ...{ namespace: 'pay', labels: { app: 'pay' }, interception: 'NONE', certificates: false },
      ...{ ownStreams: 'OWN_STREAMS_GRPC' },
    }),
    proxy({ namespace: 'shop', labels: { app: 'web' }, interception: 'NONE', proxyless: true }),
    proxy({
      ...{ type: 'PROXY_TYPE_ROUTER', namespace: 'shop', labels: { istio: 'ingress' } },
      ...{ hostsOnDemand: true, ownStreams: 'OWN_STREAMS_DELTA_GRPC' },
    }),
    proxy({ type: 'PROXY_TYPE_ROUTER', namespace: 'istio-system', labels: { istio: 'ingress' } }),
  ],
};

/** In which a proxy's namespace alone says something of it. */
const selecting: Corpus = {
  inputs: [service('pay/pay', { ports: [grpc], selector: { app: 'pay' } })],
  extra: [
    service('pay/tracked', { ports: [http], selector: { track: 'a' } }),
    object('scope', 'pay/default', { workloadSelector: { tier: 'a' } }),
    object('policy', 'pay/ring', {
      host: 'pay.pay.svc.cluster.local',
      exportTo: ['nowhere'],
      workloadSelector: { ring: 'a' },
    }),
    object('policy', 'pay/near', {
      host: 'pay.pay.svc.cluster.local',
      exportTo: ['nowhere'],
      traffic: {
        loadBalancer: {
          locality: { enabled: true, distribute: [{ from: 'r1', to: { r1: 100 } }] },
        },
      },
    }),
    object('mesh', '/default', {
      localityLb: { enabled: true, distribute: [{ from: 'r1', to: { r1: 100 } }] },
    }),
    object('route', 'pay/from', {
      hosts: ['pay.pay.svc.cluster.local'],
      parents: [{ mesh: true }],
      rules: [{ ...rules[3], matches: [{ sourceLabels: { role: 'a' } }] }],
      exportTo: ['*'],
    }),
  ],
  scopes: [proxy({ namespace: 'pay', labels: { app: 'pay' } })],
};

/** In which settings are those of a proxy's own cluster. */
const clusters: Corpus = {
  inputs: [
    object('mesh', '/default', {
      rootNamespace: 'istio-system',
      connectTimeoutMs: 1_000,
      proxyListenPort: 15_001,
      proxyInboundListenPort: 15_006,
    }),
    service('shop/web', { ports: [http], addresses: ['10.96.0.1'], selector: { app: 'web' } }),
    endpoints('web.shop.svc.cluster.local', 'shop', [zoned('10.0.0.1', 'z1', { app: 'web' })]),
    object('gateway', 'shop/edge', {
      selector: { app: 'web' },
      listeners: [
        {
          name: 'http',
          port: 80,
          protocol: 'PROTOCOL_HTTP',
          hosts: [{ namespace: '*', host: '*' }],
        },
      ],
    }),
    object('route', 'shop/edge', {
      hosts: ['shop.example'],
      parents: [gatewayParent('edge')],
      rules: [rules[3] ?? {}],
      exportTo: ['*'],
    }),
  ],
  extra: [
    object(
      'mesh',
      '/default',
      {
        rootNamespace: 'istio-system',
        connectTimeoutMs: 2_000,
        proxyListenPort: 16_001,
        proxyInboundListenPort: 16_006,
        accessLogFile: '/dev/stderr',
        minMeshTlsVersion: 'TLS_VERSION_1_3',
        defaultHttpRetry: { attempts: 9, retryOn: '5xx' },
        pathNormalization: 'PATH_NORMALIZATION_MERGE_SLASHES',
      },
      'c2',
    ),
  ],
  scopes: [
    proxy({ namespace: 'shop', labels: { app: 'web' }, cluster: 'c2' }),
    proxy({ type: 'PROXY_TYPE_ROUTER', namespace: 'shop', labels: { app: 'web' }, cluster: 'c2' }),
  ],
};

const shared = (path: string, address: string, fields: Json = {}): Input =>
  object('service', path, {
    host: 'twice.example',
    namespace: path.slice(0, path.indexOf('/')),
    name: 'twice',
    origin: 'ORIGIN_SERVICE_ENTRY',
    ports: [http],
    addresses: [address],
    exportTo: ['*'],
    ...fields,
  });

/** In which a host means another service from namespace to namespace. */
const contested: Corpus = {
  inputs: [
    shared('shop/twice', '192.0.2.1', { createdMs: 1 }),
    object('gateway', 'pay/edge', {
      selector: { app: 'edge' },
      listeners: [
        {
          name: 'http',
          port: 80,
          protocol: 'PROTOCOL_HTTP',
          hosts: [{ namespace: '*', host: '*' }],
        },
      ],
    }),
    object('route', 'pay/edge', {
      hosts: ['shop.example'],
      parents: [{ gateway: { namespace: 'pay', name: 'edge' } }],
      rules: [
        { matches: [], forward: { backends: [{ host: 'twice.example', port: 80, weight: 1 }] } },
      ],
      exportTo: ['*'],
    }),
  ],
  extra: [
    shared('pay/twice', '192.0.2.2', {
      createdMs: 2,
      ports: [{ ...http, protocol: 'PROTOCOL_GRPC' }],
    }),
    object('policy', 'pay/twice', {
      host: 'twice.example',
      exportTo: ['pay'],
      traffic,
      subsets: [],
    }),
    object('policy', 'pay/all', { host: '*', exportTo: ['.', 'pay'], traffic }),
    object('policy', 'pay/hash', {
      host: 'twice.example',
      exportTo: ['pay'],
      traffic: { loadBalancer: { hash: { header: 'x-user' } } },
    }),
    object('route', 'pay/from', {
      hosts: ['twice.example'],
      parents: [{ mesh: true }],
      rules: [{ ...rules[3], matches: [{ sourceLabels: { app: 'edge' } }] }],
      exportTo: ['*'],
    }),
    object('route', 'shop/mesh', {
      hosts: ['twice.example'],
      parents: [{ mesh: true }],
      rules: [
        {
          matches: [],
          forward: { backends: [{ host: 'twice.example', port: 80, weight: 1 }] },
          timeoutMs: 7,
        },
      ],
      exportTo: ['pay'],
    }),
  ],
  scopes: [
    proxy({ namespace: 'pay', labels: { app: 'pay' } }),
    proxy({ type: 'PROXY_TYPE_ROUTER', namespace: 'pay', labels: { app: 'edge' } }),
  ],
};

const tlsPort = { number: 9443, name: 'tls', protocol: 'PROTOCOL_TLS' };

function external(host: string): Input {
  return object('service', `shop/ext:${host}`, {
    ...{ host, namespace: 'shop', name: host, origin: 'ORIGIN_SERVICE_ENTRY' },
    ...{ ports: [tlsPort], resolution: 'RESOLUTION_DNS', meshExternal: true, exportTo: ['*'] },
  });
}

const ofMesh = {
  rootNamespace: 'istio-system',
  proxyListenPort: 15_001,
  proxyInboundListenPort: 15_006,
};

const forWeb = (name: string, exportTo: string, fields: Json): Input =>
  object('policy', `shop/${name}`, {
    host: 'web.shop.svc.cluster.local',
    exportTo: [exportTo],
    traffic: fields,
  });

const unready = (labels: Json): Json => ({
  ...zoned('10.0.0.9', 'z1', labels),
  ...{ health: 'HEALTH_UNHEALTHY' },
});

/** In which what comes changes which of the things there are used, and none of them. */
const coming: Corpus = {
  inputs: [
    object('mesh', '/default', ofMesh),
    service('shop/web', { ports: [http], addresses: ['10.96.0.1'], selector: { app: 'web' } }),
    service('shop/cart', { ports: [http], addresses: ['10.96.0.2'], selector: { app: 'cart' } }),
    // They share a listener.
    external('one.example'),
    external('two.example'),
    endpoints('web.shop.svc.cluster.local', 'shop', [zoned('10.0.0.1', 'z1')]),
    service('shop/late', { ports: [http], addresses: ['10.96.0.3'] }),
    object('policy', 'shop/late', {
      host: 'late.shop.svc.cluster.local',
      exportTo: ['*'],
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
    }),
    endpoints('late.shop.svc.cluster.local', 'shop', [unready({})]),
    object('scope', 'pay/default', {
      egress: [
        {
          hosts: [
            { namespace: 'shop', host: 'routed.example' },
            { namespace: 'shop', host: 'one.example' },
            { namespace: 'shop', host: 'two.example' },
          ],
        },
      ],
    }),
    object('route', 'shop/routed', {
      hosts: ['routed.example'],
      parents: [{ mesh: true }],
      rules: [rules[3]],
      exportTo: ['*'],
    }),
    object('route', 'shop/canary', {
      hosts: ['cart.shop.svc.cluster.local'],
      parents: [{ mesh: true }],
      rules: [{ matches: [], forward: { backends: [backend('cart', { subset: 'v1' })] } }],
      exportTo: ['*'],
    }),
  ],
  extra: [
    endpoints('late.shop.svc.cluster.local', 'shop', [unready({ version: 'v1' })]),
    object('policy', 'shop/subset', {
      host: 'cart.shop.svc.cluster.local',
      exportTo: ['*'],
      subsets: [{ name: 'v1', labels: { version: 'v1' } }],
    }),
    object('route', 'shop/routed', {
      hosts: ['routed.example'],
      parents: [{ mesh: true }],
      rules: [{ matches: [], forward: { backends: [backend('cart')] } }],
      exportTo: ['*'],
    }),
    object('mesh', '/default', {
      ...ofMesh,
      localityLb: { enabled: true, distribute: [{ from: 'r1', to: { r1: 100 } }] },
    }),
    forWeb('hash', '*', { loadBalancer: { hash: { header: 'x-user' } } }),
    forWeb('for-pay', 'pay', { connectionPool: { maxConnections: 3 } }),
    object('policy', 'shop/one', {
      host: 'one.example',
      exportTo: ['*'],
      traffic: { connectionPool: { tcpIdleTimeoutMs: 5 } },
    }),
  ],
  scopes: [
    proxy({ namespace: 'pay', labels: { app: 'pay' }, region: 'r1', zone: 'z1' }),
    proxy({ namespace: 'shop', labels: { app: 'cart' }, interception: 'NONE', proxyless: true }),
  ],
};

export const ownCorpora: readonly Corpus[] = [selecting, clusters, contested, coming, all];
