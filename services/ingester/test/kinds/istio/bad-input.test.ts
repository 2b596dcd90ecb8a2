import { describe, expect, it } from 'vitest';
import type { Case, Of } from '../bad-input.ts';
import { expectSaid, objectOf, saidOf } from '../bad-input.ts';
import { Objects } from '../harness.ts';

const of = (kind: string): Of => ({ apiVersion: 'networking.istio.io/v1', kind });
const route = 'route: [{ destination: { host: a } }]';
const http = (rule: string): string => `{ hosts: [a], http: [{ ${rule} }] }`;
const routed = (rule: string): string => http(`${rule}, ${route}`);
const match = (fields: string): string => routed(`match: [{ ${fields} }]`);

const virtualServices: readonly Case[] = [
  ['{}', 'error: spec: must have http routes'],
  ['{ hosts: [a], http: [] }', 'error: spec: must have http routes'],
  ['{ hosts: a, http: [] }', 'error: spec.hosts: expected a list'],
  ['{ hosts: [a], htpp: [] }', 'error: spec.htpp: no such field', 'error: spec: must have http'],
  [`{ hosts: ["a_b"], http: [{ ${route} }] }`, 'error: spec.hosts[0]: is no host'],
  [`{ hosts: ["*"], http: [{ ${route} }] }`, 'error: spec.hosts[0]: must not be "*" in the mesh'],
  [`{ hosts: [a, A.], http: [{ ${route} }] }`],
  [`{ hosts: [a, A], http: [{ ${route} }] }`, 'error: spec.hosts[1]: is already matched by "a"'],
  [
    `{ hosts: ["*.x.com", b.x.com], http: [{ ${route} }] }`,
    'error: spec.hosts[1]: is already matched by "*.x.com"',
  ],
  [`{ hosts: [a.1], http: [{ ${route} }] }`, 'error: spec.hosts[0]: is no host: its last label'],
  [
    `{ gateways: [g], http: [{ ${route} }] }`,
    'error: spec.gateways: must not be set without hosts',
  ],
  [
    `{ hosts: [a], gateways: ["n_s/g", /g], http: [{ ${route} }] }`,
    'error: spec.gateways[0]: must start with',
    'error: spec.gateways[1]: must start with',
  ],
  [
    `{ hosts: [a], gateways: [g.ns.svc.cluster.local], http: [{ ${route} }] }`,
    'warning: spec.gateways[0]: is an old form; write "ns/g"',
  ],
  [`{ hosts: [a], exportTo: ["~"], http: [{ ${route} }] }`, 'error: spec.exportTo[0]: must not be'],
  [
    `{ hosts: [a], exportTo: [".", shop], http: [{ ${route} }] }`,
    'error: spec.exportTo[1]: is exported to twice',
  ],
  [
    `{ hosts: [a], exportTo: ["*", b], http: [{ ${route} }] }`,
    'error: spec.exportTo: must not have other entries beside "*"',
  ],
  [http('name: x'), 'error: spec.http[0]: must have a route, a redirect or a directResponse'],
  [
    routed('redirect: { uri: /a }, fault: { delay: { fixedDelay: 1s } }'),
    'error: spec.http[0]: must not have both route and redirect',
  ],
  [
    http('directResponse: { status: 200 }, rewrite: { uri: / }'),
    'error: spec.http[0].rewrite: must not be set beside directResponse',
  ],
  [routed('delegate: { name: d }'), 'error: spec.http[0].route: must not be set beside delegate'],
  ['{ http: [{ delegate: { name: d } }] }', 'error: spec.http[0].delegate: must not be set in a'],
  [match('uri: { exact: a, prefix: b }'), 'error: spec.http[0].match[0].uri.prefix: only one of'],
  [
    match('uri: { regex: "(" }'),
    'error: spec.http[0].match[0].uri.regex: is no regular expression',
  ],
  [match('uri: { regex: "(?=a)" }'), 'error: spec.http[0].match[0].uri.regex: is no regular'],
  [
    match('uri: { exact: a }'),
    'warning: spec.http[0].match[0].uri.exact: matches no request: paths',
  ],
  [
    match('uri: { prefix: a }'),
    'warning: spec.http[0].match[0].uri.prefix: matches no request: paths',
  ],
  [
    match(`queryParams: { "": { exact: a }, ${'a'.repeat(1025)}: { exact: a } }`),
    'error: spec.http[0].match[0].queryParams[""]: must be a name of at most 1024 bytes',
    `error: spec.http[0].match[0].queryParams.${'a'.repeat(1025)}: must be a name`,
  ],
  [match('uri: { prefix: "" }')],
  [match('gateways: [mesh, g]')],
  [match('gateways: [g, h]'), 'warning: spec.http[0].match[0].gateways: has none of spec.gateways'],
  [
    routed('rewrite: { uri: a }'),
    'warning: spec.http[0].rewrite.uri: makes paths that do not start',
  ],
  [match(`uri: { regex: ${'a'.repeat(1024)} }`)],
  [
    match(`uri: { regex: ${'a'.repeat(1025)} }`),
    'error: spec.http[0].match[0].uri.regex: must have at most 1024 characters',
  ],
  [
    match('method: { prefix: "" }'),
    'error: spec.http[0].match[0].method.prefix: must not be empty',
  ],
  [match('method: { regex: "*" }'), 'error: spec.http[0].match[0].method.regex: is no regular'],
  [
    match('headers: { "a b": {} }'),
    'error: spec.http[0].match[0].headers["a b"]: must be the name',
  ],
  [
    match('headers: { "@request.auth.claims.x": { exact: a } }'),
    'error: spec.http[0].match[0].headers["@request.auth.claims.x"]: matches a claim',
  ],
  [match('headers: { x: 1 }'), 'error: spec.http[0].match[0].headers.x: expected an object'],
  [match('port: 70000'), 'error: spec.http[0].match[0].port: must be a port'],
  [match('port: -1'), 'error: spec.http[0].match[0].port'],
  [
    match('sourceLabels: { "a b": c }'),
    'error: spec.http[0].match[0].sourceLabels["a b"]: must be',
  ],
  [match('sourceNamespace: a.b'), 'error: spec.http[0].match[0].sourceNamespace: must be a DNS'],
  [
    `{ hosts: [a], http: [{ match: [{ uri: { prefix: / } }], ${route} }, { ${route} }] }`,
    'warning: spec.http[1]: is never reached: rule 0 takes every request',
  ],
  [match('statPrefix: x'), 'warning: spec.http[0].match[0].statPrefix: is not supported'],
  [http('route: [{ weight: 1 }]'), 'error: spec.http[0].route[0].destination: is required'],
  [
    http('route: [{ destination: { host: "*" } }]'),
    'error: spec.http[0].route[0].destination.host: must name one host',
  ],
  [
    http('route: [{ destination: { host: a, subset: v_1, port: { number: 0 } } }]'),
    'error: spec.http[0].route[0].destination.subset: must be a DNS label',
    'error: spec.http[0].route[0].destination.port.number: must be a port',
  ],
  [
    http('route: [{ destination: { host: a }, weight: -1 }]'),
    'error: spec.http[0].route[0].weight: must not be negative',
  ],
  [
    http('route: [{ destination: { host: a } }, { destination: { host: b } }]'),
    'error: spec.http[0].route: must have weights of which one is not 0',
  ],
  [routed('timeout: 0.5ms'), 'error: spec.http[0].timeout: must be at least 1ms'],
  [routed('timeout: 1.0005s'), 'error: spec.http[0].timeout: must be whole milliseconds'],
  [routed('timeout: soon'), 'error: spec.http[0].timeout'],
  [routed('timeout: -1s'), 'error: spec.http[0].timeout: must be at least 1ms'],
  [
    routed('retries: { attempts: 0, retryOn: 5xx }'),
    'error: spec.http[0].retries.attempts: must not be 0',
  ],
  [routed('retries: { attempts: -1 }'), 'error: spec.http[0].retries.attempts: must not be'],
  [
    routed('retries: { attempts: 1, retryOn: "5xx,sometimes,799" }'),
    'error: spec.http[0].retries.retryOn: is neither a condition of Envoy nor a status code: "sometimes"',
    'error: spec.http[0].retries.retryOn: is neither a condition of Envoy nor a status code: "799"',
  ],
  [routed('fault: {}'), 'error: spec.http[0].fault: must have an abort or a delay'],
  [
    routed('fault: { abort: { percentage: { value: 101 }, httpStatus: 600 } }'),
    'error: spec.http[0].fault.abort.percentage.value: must be 0, or from',
    'error: spec.http[0].fault.abort.httpStatus: must be a status code',
  ],
  [
    routed('fault: { abort: { grpcStatus: NOPE }, delay: { exponentialDelay: 1s } }'),
    'error: spec.http[0].fault.abort.grpcStatus: must be a status of gRPC',
    'error: spec.http[0].fault.delay.exponentialDelay: is not supported',
  ],
  [
    routed('fault: { abort: { http2Error: X } }'),
    'error: spec.http[0].fault.abort.http2Error: is not supported',
  ],
  [
    routed('mirror: { host: m }, mirrors: [{ destination: { host: m } }]'),
    'error: spec.http[0].mirror: must not be set beside mirrors',
  ],
  [
    routed('mirrors: [{ percentage: { value: 101 } }]'),
    'error: spec.http[0].mirrors[0].destination: is required',
    'error: spec.http[0].mirrors[0].percentage.value: must be a percentage',
  ],
  [
    http('redirect: { uri: a }'),
    'warning: spec.http[0].redirect.uri: stands right behind the host',
  ],
  [
    http('redirect: { uri: "/a\\n", authority: "a\\r" }'),
    'error: spec.http[0].redirect.uri: must not contain control characters',
    'error: spec.http[0].redirect.authority: must not contain control characters',
  ],
  [
    routed('rewrite: { uri: "/a\\0", authority: "a\\n" }'),
    'error: spec.http[0].rewrite.uri: must not contain control characters',
    'error: spec.http[0].rewrite.authority: must not contain control characters',
  ],
  [
    routed('rewrite: { uriRegexRewrite: { match: a, rewrite: "\\n" } }'),
    'error: spec.http[0].rewrite.uriRegexRewrite.rewrite: must not contain control characters',
  ],
  [http('redirect: {}'), 'error: spec.http[0].redirect: must change'],
  [
    http('redirect: { scheme: ftp, redirectCode: 304, port: 0 }'),
    'error: spec.http[0].redirect.scheme: must be http or https',
    'error: spec.http[0].redirect.redirectCode: must be 301',
    'error: spec.http[0].redirect.port: must be a port',
  ],
  [http('directResponse: { status: 99 }'), 'error: spec.http[0].directResponse.status: must be'],
  [
    http('directResponse: { status: 200, body: { bytes: "/w==" } }'),
    'error: spec.http[0].directResponse.body.bytes: must be UTF-8',
  ],
  [
    http(`directResponse: { status: 200, body: { string: ${'a'.repeat(1024 * 1024 + 1)} } }`),
    'error: spec.http[0].directResponse.body: must have at most 1 MiB',
  ],
  [routed('rewrite: {}'), 'error: spec.http[0].rewrite: must rewrite'],
  [
    routed('rewrite: { uri: /, uriRegexRewrite: { match: "[", rewrite: "" } }'),
    'error: spec.http[0].rewrite.uri: must not be set beside uriRegexRewrite',
    'error: spec.http[0].rewrite.uriRegexRewrite.match: is no regular',
    'error: spec.http[0].rewrite.uriRegexRewrite.rewrite: must not be empty',
  ],
  [
    routed('headers: { request: { set: { ":path": /, a: "%", b: "%x" }, remove: [host] } }'),
    'error: spec.http[0].headers.request.set[":path"]: must not be a pseudo-header',
    'error: spec.http[0].headers.request.set.a: has a "%"',
    'error: spec.http[0].headers.request.set.b: has a "%" that is neither doubled nor the start',
    'error: spec.http[0].headers.request.remove[0]: must not be the host',
  ],
  [
    routed('headers: { response: { add: { Host: a }, set: { X: a, x: b, "": c } } }'),
    'error: spec.http[0].headers.response.add.Host: must not be the host',
    'error: spec.http[0].headers.response.set.x: is the same header as "X"',
    'error: spec.http[0].headers.response.set[""]: must be the name of a header',
  ],
  [
    routed('rewrite: { authority: a }, headers: { request: { set: { host: b } } }'),
    'error: spec.http[0].headers: must not set the host again',
  ],
  [
    routed(
      'corsPolicy: { allowOrigins: [{}], allowMethods: [LOOK], allowHeaders: ["a b"], maxAge: 1.5s }',
    ),
    'error: spec.http[0].corsPolicy.allowOrigins[0]: must match some origin',
    'error: spec.http[0].corsPolicy.allowMethods[0]: must be an HTTP method',
    'error: spec.http[0].corsPolicy.allowHeaders[0]: must be the name of a header',
    'error: spec.http[0].corsPolicy.maxAge: must be whole seconds',
  ],
];

const traffic = (fields: string): string => `{ host: a, trafficPolicy: { ${fields} } }`;
const balanced = (fields: string): string => traffic(`loadBalancer: { ${fields} }`);

const destinationRules: readonly Case[] = [
  ['{}', 'error: spec.host: must not be empty'],
  ['{ host: a, trafficPolicy: {} }', 'error: spec.trafficPolicy: must not be empty'],
  [
    '{ host: a, subsets: [{ name: v1 }, { name: v1, labels: { "a b": c } }, { name: v_1 }] }',
    'error: spec.subsets[1].name: is the name of two subsets',
    'error: spec.subsets[1].labels["a b"]: must be a label key',
    'error: spec.subsets[2].name: must be a DNS label',
  ],
  [
    '{ host: a, exportTo: ["*"], workloadSelector: { matchLabels: { a: "b*" } } }',
    'error: spec.workloadSelector.matchLabels.a: must not contain wildcards',
    'error: spec.exportTo: must be the own namespace alone',
  ],
  [
    traffic('connectionPool: {}, tunnel: { targetHost: a, targetPort: 1 }'),
    'error: spec.trafficPolicy.connectionPool: must have http or tcp settings',
    'error: spec.trafficPolicy.tunnel: is not supported',
  ],
  [
    traffic(
      'connectionPool: { tcp: { maxConnections: -1 }, http: { maxRetries: -2, h2UpgradePolicy: UPGRADE, useClientProtocol: true } }',
    ),
    'error: spec.trafficPolicy.connectionPool.tcp.maxConnections: must not be negative',
    'error: spec.trafficPolicy.connectionPool.http.maxRetries: must not be negative',
    'error: spec.trafficPolicy.connectionPool.http.useClientProtocol: must not be set',
  ],
  [
    traffic('connectionPool: { http: { h2UpgradePolicy: SOMETIMES } }'),
    'error: spec.trafficPolicy.connectionPool.http.h2UpgradePolicy',
  ],
  [
    traffic(
      'outlierDetection: { maxEjectionPercent: 101, interval: 0s, consecutiveLocalOriginFailures: 1, consecutiveErrors: 2 }',
    ),
    'error: spec.trafficPolicy.outlierDetection.maxEjectionPercent: must be a percentage',
    'error: spec.trafficPolicy.outlierDetection.interval: must be at least 1ms',
    'error: spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures: must not be set',
    'warning: spec.trafficPolicy.outlierDetection.consecutiveErrors: is deprecated',
  ],
  [
    traffic(
      'portLevelSettings: [{ tls: {} }, { port: { number: 80 } }, { port: { number: 80 }, tls: {} }]',
    ),
    'error: spec.trafficPolicy.portLevelSettings[0].port: is required',
    'error: spec.trafficPolicy.portLevelSettings[1]: must have a setting beside the port',
    'error: spec.trafficPolicy.portLevelSettings[2].port: is set twice',
  ],
  [
    balanced('simple: RANDOM, consistentHash: { useSourceIp: true }'),
    'error: spec.trafficPolicy.loadBalancer.consistentHash: only one of',
  ],
  [
    balanced(
      'consistentHash: { httpCookie: { ttl: 1s }, maglev: { tableSize: 100 }, minimumRingSize: 1 }',
    ),
    'error: spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.name: is required',
    'error: spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize: must be a prime',
    'error: spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize: must not be set beside',
  ],
  [balanced('consistentHash: {}'), 'warning: spec.trafficPolicy.loadBalancer.consistentHash: says'],
  [
    balanced('warmup: { aggression: 0, minimumPercent: 101 }'),
    'error: spec.trafficPolicy.loadBalancer.warmup.duration: is required',
    'error: spec.trafficPolicy.loadBalancer.warmup.aggression: must be above 0',
    'error: spec.trafficPolicy.loadBalancer.warmup.minimumPercent: must be a percentage',
  ],
  [
    balanced(
      'localityLbSetting: { distribute: [{ from: a, to: { b: 50, c: 49 } }], failover: [{ from: a/b, to: a/b }] }',
    ),
    'error: spec.trafficPolicy.loadBalancer.localityLbSetting.distribute: must not be set beside',
    'error: spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to: must have weights whose sum',
    'error: spec.trafficPolicy.loadBalancer.localityLbSetting.failover[0]: must be',
    'warning: spec.trafficPolicy.loadBalancer.localityLbSetting: needs outlierDetection',
  ],
  [
    balanced(
      'localityLbSetting: { distribute: [{ from: "a/*", to: { "*": 100 } }, { from: a/b, to: { "x/*/z": 100 } }] }',
    ),
    'error: spec.trafficPolicy.loadBalancer.localityLbSetting.distribute: overlaps',
    'error: spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[1].to: may have "*" only',
  ],
  [
    traffic('tls: { mode: MUTUAL, caCrl: /crl }'),
    'error: spec.trafficPolicy.tls.clientCertificate: is required',
    'error: spec.trafficPolicy.tls.privateKey: is required',
    'error: spec.trafficPolicy.tls.caCrl: is not supported',
  ],
  [
    traffic('tls: { mode: SIMPLE, credentialName: other/secret, caCertificates: /ca }'),
    'error: spec.trafficPolicy.tls.credentialName: must be the name of a secret in the proxy',
    'error: spec.trafficPolicy.tls.caCertificates: must not be set beside credentialName',
  ],
  [
    traffic('tls: { mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a] }'),
    'error: spec.trafficPolicy.tls.subjectAltNames: must not be set beside insecureSkipVerify',
  ],
];

const server = (fields: string): string =>
  `{ servers: [{ port: { number: 443, name: a, protocol: HTTPS }, hosts: ["*"], ${fields} }] }`;

const gateways: readonly Case[] = [
  ['{}', 'error: spec.servers: must have one server'],
  ['{ servers: [{}] }', 'error: spec.servers[0].hosts: must', 'error: spec.servers[0].port: is'],
  [
    server('bind: nowhere'),
    'error: spec.servers[0].tls: is required',
    'error: spec.servers[0].bind',
  ],
  [
    '{ servers: [{ port: { number: 80, name: a, protocol: HTTP }, hosts: [short, "*x.com", "n_s/a.b", a.b] }, { port: { number: 81, name: a, protocol: SMTP, targetPort: 1 }, hosts: ["*"] }] }',
    'error: spec.servers[0].hosts[0]: must be a full name',
    'error: spec.servers[0].hosts[1]: must have its wildcard as a whole label',
    'error: spec.servers[0].hosts[2]: must start with',
    'error: spec.servers[1].port.name: is the name of two ports',
    'error: spec.servers[1].port.protocol: must be HTTP',
    'error: spec.servers[1].port.targetPort: must not be set',
  ],
  [
    server('bind: unix:///a, tls: { mode: SIMPLE, credentialName: a }'),
    'error: spec.servers[0].port.number: must be 0',
  ],
  [
    server('tls: { mode: SIMPLE }'),
    'error: spec.servers[0].tls.serverCertificate',
    'error: spec.servers[0].tls.privateKey',
  ],
  [
    server('tls: { mode: MUTUAL, serverCertificate: /c, privateKey: /k }'),
    'error: spec.servers[0].tls.caCertificates: is required to verify clients',
  ],
  [
    server('tls: { mode: SIMPLE, credentialName: a, privateKey: /k }'),
    'warning: spec.servers[0].tls.privateKey: is not used beside a credential',
  ],
  [
    server('tls: { mode: PASSTHROUGH }'),
    'warning: spec.servers[0].tls.mode: is not supported: only HTTP is routed, and the server is',
  ],
  [
    '{ servers: [{ port: { number: 1, name: a, protocol: TCP }, hosts: ["*"] }] }',
    'warning: spec.servers[0].port.protocol: is not supported: only HTTP is routed',
  ],
  [
    server('tls: { mode: SIMPLE, credentialName: a, credentialNames: [b] }'),
    'error: spec.servers[0].tls: must have one source of certificates',
  ],
  [
    server('tls: { mode: ISTIO_MUTUAL, credentialName: a }'),
    'error: spec.servers[0].tls.credentialName: must not be set in mode ISTIO_MUTUAL',
  ],
  [
    server('tls: { mode: PASSTHROUGH, credentialName: a }'),
    'warning: spec.servers[0].tls.credentialName: is not used where TLS passes through',
  ],
  [
    server('tls: { mode: SIMPLE, credentialName: "kubernetes-gateway://ns/a" }'),
    'error: spec.servers[0].tls.credentialName: must be the name of a secret: other sources',
  ],
  [
    server(
      'tls: { mode: MUTUAL, credentialName: a, verifyCertificateSpki: [x], caCrl: /x, minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2 }',
    ),
    'error: spec.servers[0].tls.verifyCertificateSpki: is not supported',
    'error: spec.servers[0].tls.caCrl: is not supported',
    'error: spec.servers[0].tls.minProtocolVersion: must not be above',
  ],
  [
    '{ servers: [{ port: { number: 80, name: a, protocol: HTTP }, hosts: ["*"], tls: { mode: SIMPLE, credentialName: a } }] }',
    'error: spec.servers[0].tls: must not be set for ports without TLS',
  ],
];

const sidecars: readonly Case[] = [
  ['{}', 'error: spec: must not be empty'],
  ['{ egress: [{}] }', 'error: spec.egress[0].hosts: must have one host'],
  [
    '{ egress: [{ hosts: [a.b, "~ns/a.b", "./short", "n_s/*", "./*", "*/*"] }, { hosts: ["./*"] }] }',
    'error: spec.egress[0].hosts[0]: must be namespace/host',
    'error: spec.egress[0].hosts[1]: excludes hosts',
    'error: spec.egress[0].hosts[2]: must be a full name',
    'error: spec.egress[0].hosts[3]: must start with',
    'error: spec.egress[0].port: is required in all listeners but the last',
    'warning: spec.egress[0].hosts: is everything',
  ],
  [
    '{ egress: [{ port: { number: 0 }, hosts: ["./*"] }, { port: { number: 1, protocol: X }, bind: z, hosts: ["./*"] }, { port: { number: 1 }, hosts: ["./*"] }] }',
    'error: spec.egress[0].bind: must be a unix socket',
    'error: spec.egress[1].port.protocol: is no protocol',
    'error: spec.egress[1].bind: must be an IP address',
    'error: spec.egress[2].port: is taken',
  ],
  [
    '{ ingress: [{ defaultEndpoint: "10.0.0.1:80" }, { port: { number: 80, protocol: HTTP }, defaultEndpoint: "10.0.0.1:80" }, { port: { number: 80 }, defaultEndpoint: "127.0.0.1:99999" }] }',
    'error: spec.ingress[0].port: is required',
    'error: spec.ingress[1].defaultEndpoint: must be 127.0.0.1:PORT',
    'error: spec.ingress[2].port.number: is taken',
    'error: spec.ingress[2].defaultEndpoint: must be a port',
  ],
  [
    '{ ingress: [{ port: { number: 80, protocol: HTTP }, tls: { mode: ISTIO_MUTUAL, httpsRedirect: true }, connectionPool: { tcp: { maxConnections: 1 } } }] }',
    'error: spec.ingress[0].tls.httpsRedirect: must not be set in a Sidecar',
    'error: spec.ingress[0].tls.mode: must be SIMPLE',
    'error: spec.ingress[0].tls: must not be set for a port whose protocol',
    'warning: spec.ingress[0].connectionPool: is not supported',
  ],
  [
    '{ outboundTrafficPolicy: { mode: ALLOW_ANY, egressProxy: { host: a } } }',
    'error: spec.outboundTrafficPolicy.egressProxy: is not supported',
  ],
  [
    '{ workloadSelector: {}, egress: [{ hosts: ["./*"] }] }',
    'warning: spec.workloadSelector.labels: is without labels',
  ],
];

const entry = (fields: string): string =>
  `{ hosts: [a.b], ports: [{ number: 80, name: http, protocol: HTTP }], ${fields} }`;

const serviceEntries: readonly Case[] = [
  [
    '{ hosts: [a.b], ports: [{ number: 1, name: a, protocol: HTTP }], resolution: STATIC, endpoints: [{ address: 10.0.0.1, weight: 1000000 }, { address: 10.0.0.2, weight: 4294967295 }] }',
    'warning: spec.endpoints[1].weight: is taken as 1000000, which is the most',
  ],
  [
    '{ hosts: [a.b], resolution: STATIC }',
    'warning: spec.ports: is empty: nothing of the hosts is served',
    'warning: spec.endpoints: has none, and no workloadSelector is set: requests get 503',
  ],
  [
    '{ hosts: [a.b], ports: [{ number: 1, name: a, protocol: TSL }], resolution: DNS }',
    'error: spec.ports[0].protocol: is no protocol of Istio',
  ],
  ['{}', 'error: spec.hosts: must have one host'],
  [
    '{ hosts: ["*", a.b, A.B., x_y], ports: [{ number: 0, name: A_ }, { number: 80, name: b, protocol: SMTP }, { number: 80, name: b, targetPort: 99999 }] }',
    'error: spec.hosts[0]: must not be "*"',
    'error: spec.hosts[2]: is listed twice',
    'error: spec.hosts[3]: is no host',
    'error: spec.ports[0].number: must be a port',
    'error: spec.ports[0].name: must be a DNS label',
    'error: spec.ports[1].protocol: is no protocol',
    'error: spec.ports[2].name: is the name of two ports',
    'error: spec.ports[2].number: is listed twice',
    'error: spec.ports[2].targetPort: must be a port',
  ],
  [entry('addresses: [x, 10.0.0.0/33]'), 'error: spec.addresses[0]', 'error: spec.addresses[1]'],
  [
    entry('resolution: DNS, addresses: [10.0.0.0/8]'),
    'error: spec.addresses[0]: must not be a CIDR block',
  ],
  [entry('resolution: DYNAMIC_DNS'), 'error: spec.resolution: is not supported'],
  [
    entry('resolution: NONE, endpoints: [{ address: 1.1.1.1 }]'),
    'error: spec.endpoints: must not be set where the resolution is NONE',
  ],
  [
    entry(
      'resolution: STATIC, endpoints: [{ address: a.b }, {}, { address: 1.1.1.1, ports: { x: 1 } }, { address: "unix://a", ports: { http: 1 } }]',
    ),
    'error: spec.endpoints[0].address: must be an IP address',
    'error: spec.endpoints[1].address: is required',
    'error: spec.endpoints[2].ports.x: is of no port of the service',
    'error: spec.endpoints[3].address: must be the absolute path',
    'error: spec.endpoints[3].ports: must not be set for a unix socket',
  ],
  [entry(`resolution: STATIC, endpoints: [{ address: "unix:///${'a'.repeat(106)}" }]`)],
  [
    entry(`resolution: STATIC, endpoints: [{ address: "unix:///${'a'.repeat(107)}" }]`),
    'error: spec.endpoints[0].address: must have at most 107 bytes',
  ],
  [
    entry('resolution: DNS_ROUND_ROBIN, endpoints: [{ address: a.b }, { address: c.d }]'),
    'error: spec.endpoints: must be one at most',
  ],
  [
    '{ hosts: ["*.a.b"], ports: [{ number: 80, name: http, protocol: HTTP }], resolution: DNS }',
    'error: spec.hosts[0]: is no host',
  ],
  [
    '{ hosts: [a.b, c.d], ports: [{ number: 80, name: tcp, protocol: TCP }], resolution: STATIC }',
    'error: spec.ports[0].protocol: must be HTTP or TLS where there are several hosts',
    'warning: spec.ports[0].protocol: needs addresses',
  ],
  [
    entry(
      'resolution: STATIC, workloadSelector: { labels: { a: "*" } }, endpoints: [{ address: 1.1.1.1 }]',
    ),
    'error: spec.workloadSelector: must not be set beside endpoints',
    'error: spec.workloadSelector.labels.a: must not contain wildcards',
  ],
  [entry('exportTo: ["~", a]'), 'error: spec.exportTo: must not have other entries beside "~"'],
];

const workloadEntries: readonly Case[] = [
  ['{}', 'error: spec.address: is required'],
  ['{ network: n }', 'warning: spec.address: is unset'],
  ['{ address: "a b" }', 'error: spec.address: must be an IP address or a DNS name'],
  ['{ address: 1.1.1.1, ports: { a: 0 } }', 'error: spec.ports.a: must be a port'],
  ['{ address: 1.1.1.1, labels: { a: "b c" } }', 'error: spec.labels.a: must be a label value'],
  ['{ address: 1.1.1.1, weight: -1 }', 'error: spec.weight'],
];

const tables: Readonly<Record<string, readonly Case[]>> = {
  VirtualService: virtualServices,
  DestinationRule: destinationRules,
  Gateway: gateways,
  Sidecar: sidecars,
  ServiceEntry: serviceEntries,
  WorkloadEntry: workloadEntries,
};

for (const [kind, cases] of Object.entries(tables)) {
  describe(kind, () => {
    it.each(cases.map((one) => [one[0].slice(0, 150), one] as const))('says of %s', (_, one) => {
      expectSaid(of(kind), one);
    });
  });
}

it('keeps what was good when an object becomes bad', () => {
  const objects = new Objects();
  objects.put(objectOf(of('VirtualService'), http(route)));
  const before = objects.fingerprint();
  objects.put(objectOf(of('VirtualService'), http('name: x')));
  expect(objects.fingerprint()).toBe(before);
  expect(objects.problems().filter((line) => line.includes(' error: '))).toHaveLength(1);
});

it('takes unknown fields from an API server, with a word', () => {
  const objects = new Objects();
  const raw = objectOf(of('Sidecar'), '{ egress: [{ hosts: ["*/*"] }], newer: 1 }');
  objects.put({ ...raw, metadata: { ...raw.metadata, uid: 'x' } });
  expect(objects.problems()).toEqual([
    'Sidecar shop/test: warning: spec.newer: no such field in Sidecar: 1',
  ]);
  expect(objects.events()).toHaveLength(1);
});

it('refuses a Gateway that no route can name', () => {
  const { lines } = saidOf(
    { ...of('Gateway'), name: 'a.b' },
    '{ servers: [{ port: { number: 80, name: a, protocol: HTTP }, hosts: ["*"] }] }',
  );
  expect(lines).toEqual(['error: metadata.name: must be a DNS label: routes name it: "a.b"']);
});
