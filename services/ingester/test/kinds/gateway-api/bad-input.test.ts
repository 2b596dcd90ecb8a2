import { describe, expect, it } from 'vitest';
import type { Case, Of } from '../bad-input.ts';
import { expectSaid, objectOf } from '../bad-input.ts';
import { Objects } from '../harness.ts';

const of = (kind: string): Of => ({ apiVersion: 'gateway.networking.k8s.io/v1', kind });
const listener = (fields: string): string =>
  `{ gatewayClassName: istio, listeners: [{ name: a, port: 80, ${fields} }] }`;
const rule = (fields: string): string => `{ parentRefs: [{ name: g }], rules: [{ ${fields} }] }`;
const match = (fields: string): string => rule(`matches: [{ ${fields} }]`);
const filter = (fields: string): string => rule(`filters: [{ ${fields} }]`);

const gateways: readonly Case[] = [
  ['{}', 'error: spec.gatewayClassName: is required', 'error: spec.listeners: is required'],
  ['{ gatewayClassName: istio, listeners: [] }', 'error: spec.listeners: must have at least 1'],
  [listener('protocol: HTTP, hostnam: a.b'), 'error: spec.listeners[0].hostnam: unknown field'],
  [
    listener('protocol: HTTP, hostname: 10.0.0.1'),
    'error: spec.listeners[0].hostname: must be a host',
  ],
  [
    listener('protocol: HTTP, hostname: A.B'),
    'error: spec.listeners[0].hostname: must be a DNS name',
  ],
  [listener('protocol: "H T"'), 'error: spec.listeners[0].protocol: must be'],
  [
    listener('protocol: HTTP, tls: { options: { a: b } }'),
    'error: spec.listeners[0].tls: must not be',
  ],
  [listener('protocol: HTTPS'), 'error: spec.listeners[0].tls: is required for protocol HTTPS'],
  [
    listener('protocol: HTTPS, tls: {}'),
    'error: spec.listeners[0].tls.certificateRefs: is required',
  ],
  [
    listener('protocol: HTTPS, tls: { mode: Passthrough }'),
    'error: spec.listeners[0].tls: must have',
  ],
  [listener('protocol: TLS'), 'error: spec.listeners[0].tls: is required for protocol TLS'],
  [listener('protocol: TCP, hostname: a.b'), 'error: spec.listeners[0].hostname: must not be set'],
  [
    listener('protocol: HTTP, allowedRoutes: { namespaces: { from: Selector } }'),
    'error: spec.listeners[0].allowedRoutes.namespaces.selector: is required',
  ],
  [
    listener(
      'protocol: HTTP, allowedRoutes: { namespaces: { from: Selector, selector: { matchExpressions: [{ key: a, operator: Exists, values: [b] }, { key: a, operator: In }, { key: a, operator: Maybe }] } } }',
    ),
    'error: spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[0].values: must not be set for Exists',
    'error: spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[1].values: must not be empty for In',
    'error: spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions[2].operator: must be one of',
  ],
  [
    '{ gatewayClassName: a, listeners: [{ name: a, port: 80, protocol: HTTP }, { name: a, port: 81, protocol: HTTP }] }',
    'error: spec.listeners[1].name: is listed twice',
  ],
  [
    '{ gatewayClassName: a, listeners: [{ name: a, port: 80, protocol: HTTP }, { name: b, port: 80, protocol: HTTP }] }',
    'error: spec.listeners[1]: has the port, protocol and hostname of listener a',
  ],
  [
    '{ gatewayClassName: a, listeners: [{ name: a, port: 80, protocol: HTTP }], tls: { frontend: { default: { validation: { caCertificateRefs: [] } } } } }',
    'error: spec.tls.frontend.default.validation.caCertificateRefs: must have at least 1',
  ],
];

const prefixReplaced = 'path: { type: ReplacePrefixMatch, replacePrefixMatch: /x }';

const routes: readonly Case[] = [
  ['{ parentRefs: [{}] }', 'error: spec.parentRefs[0].name: is required'],
  ['{ parentRefs: [{ name: g }, { name: g }] }', 'error: spec.parentRefs[1]: refers to the same'],
  [
    '{ parentRefs: [{ name: g, sectionName: a }, { name: g }] }',
    'error: spec.parentRefs[1]: refers to the same',
  ],
  ['{ parentRefs: [{ name: g, sectionName: a }, { name: g, sectionName: b }] }'],
  [
    '{ hostnames: [A.b, 1.2.3.4, "*"] }',
    'error: spec.hostnames[0]: must be a DNS name',
    'error: spec.hostnames[1]: must be a host name, not an IP',
    'error: spec.hostnames[2]: must be a DNS name',
  ],
  ['{ rules: [] }', 'error: spec.rules: must have at least 1'],
  [`{ rules: [${'{},'.repeat(17)}] }`, 'error: spec.rules: must have at most 16'],
  ['{ rules: [{ name: a }, { name: a }] }', 'error: spec.rules[1].name: is the name of two rules'],
  [
    `{ rules: [${`{ matches: [${'{},'.repeat(64)}] },`.repeat(3)}] }`,
    'error: spec.rules: must have at most 128 matches in all',
  ],
  [match('path: { value: a }'), 'error: spec.rules[0].matches[0].path.value: must start with "/"'],
  [match('path: { value: /a//b }'), 'error: spec.rules[0].matches[0].path.value: must not contain'],
  [
    match('path: { value: /a/.. }'),
    'error: spec.rules[0].matches[0].path.value: must not end with',
  ],
  [
    match('path: { value: "/a%2Fb" }'),
    'error: spec.rules[0].matches[0].path.value: must not contain',
  ],
  [
    match('path: { value: "/a b" }'),
    'error: spec.rules[0].matches[0].path.value: must have characters',
  ],
  [match('path: { type: Glob }'), 'error: spec.rules[0].matches[0].path.type: must be one of'],
  [
    match('path: { type: RegularExpression, value: "(" }'),
    'error: spec.rules[0].matches[0].path.value: is no regular expression',
  ],
  [
    match(
      'headers: [{ name: "a b", value: c }, { name: a, value: " " }, { name: d, type: RegularExpression, value: "(?=x)" }]',
    ),
    'error: spec.rules[0].matches[0].headers[0].name: must be the name of a header',
    'error: spec.rules[0].matches[0].headers[1].value: must be printable ASCII',
    'error: spec.rules[0].matches[0].headers[2].value: is no regular expression',
  ],
  [
    match('queryParams: [{ name: a, value: b }, { name: a, value: c }], method: get'),
    'error: spec.rules[0].matches[0].queryParams[1].name: is listed twice',
    'error: spec.rules[0].matches[0].method: must be one of',
  ],
  [rule('backendRefs: [{ name: s }]'), 'error: spec.rules[0].backendRefs[0].port: is required'],
  [
    rule('backendRefs: [{ name: s, port: 0, weight: -1 }]'),
    'error: spec.rules[0].backendRefs[0].port: must be from 1',
    'error: spec.rules[0].backendRefs[0].weight: must be from 0',
  ],
  [
    filter('type: URLRewrite'),
    'error: spec.rules[0].filters[0].urlRewrite: is required where type',
  ],
  [
    filter('type: URLRewrite, urlRewrite: {}, cors: {}'),
    'error: spec.rules[0].filters[0].cors: must not be set where type is URLRewrite',
  ],
  [filter('type: Magic'), 'error: spec.rules[0].filters[0].type: must be one of'],
  [
    rule('filters: [{ type: CORS, cors: {} }, { type: CORS, cors: {} }]'),
    'error: spec.rules[0].filters[1].type: is there twice',
  ],
  [
    rule(
      'filters: [{ type: URLRewrite, urlRewrite: {} }, { type: RequestRedirect, requestRedirect: {} }]',
    ),
    'error: spec.rules[0].filters: must not have both',
  ],
  [
    rule(
      'backendRefs: [{ name: s, port: 1 }], filters: [{ type: RequestRedirect, requestRedirect: {} }]',
    ),
    'error: spec.rules[0].backendRefs: must not be set beside RequestRedirect',
  ],
  [
    rule(
      `matches: [{ path: { type: Exact } }], filters: [{ type: URLRewrite, urlRewrite: { ${prefixReplaced} } }]`,
    ),
    'error: spec.rules[0].matches: must be exactly one',
  ],
  [
    filter(
      'type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: "/a\\n" } }',
    ),
    'error: spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: must not contain control',
  ],
  [
    filter('type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replaceFullPath: a } }'),
    'warning: spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: makes paths that do not',
  ],
  [
    filter(
      'type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath, replacePrefixMatch: /a } }',
    ),
    'error: spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch: must not be set',
  ],
  [
    filter('type: URLRewrite, urlRewrite: { path: { type: ReplaceFullPath } }'),
    'error: spec.rules[0].filters[0].urlRewrite.path.replaceFullPath: is required',
  ],
  [
    filter(
      'type: RequestRedirect, requestRedirect: { scheme: ftp, statusCode: 304, hostname: "*.a" }',
    ),
    'error: spec.rules[0].filters[0].requestRedirect.scheme: must be one of',
    'error: spec.rules[0].filters[0].requestRedirect.statusCode: must be 301',
    'error: spec.rules[0].filters[0].requestRedirect.hostname: must be a DNS name',
  ],
  [
    filter(
      'type: RequestMirror, requestMirror: { backendRef: { name: s, port: 1 }, percent: 1, fraction: { numerator: 1 } }',
    ),
    'error: spec.rules[0].filters[0].requestMirror.percent: must not be set beside fraction',
  ],
  [
    filter(
      'type: RequestMirror, requestMirror: { backendRef: { name: s, port: 1 }, fraction: { numerator: 3, denominator: 2 } }',
    ),
    'error: spec.rules[0].filters[0].requestMirror.fraction: must be at most 1',
  ],
  [
    filter(
      'type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: a, value: "100%" }] }',
    ),
    'error: spec.rules[0].filters[0].requestHeaderModifier.set[0].value: has a "%"',
  ],
  [
    filter(
      'type: CORS, cors: { allowOrigins: ["*", "https://a.b"], allowMethods: [GET, GET], maxAge: 0 }',
    ),
    'error: spec.rules[0].filters[0].cors.allowOrigins: must not have other values',
    'error: spec.rules[0].filters[0].cors.allowMethods: must have each value once',
    'error: spec.rules[0].filters[0].cors.maxAge: must be from 1',
  ],
  [
    rule('timeouts: { request: 1s, backendRequest: 2s }'),
    'error: spec.rules[0].timeouts.backendRequest: must not be longer than request',
  ],
  [
    rule('timeouts: { request: 1.5s }'),
    'error: spec.rules[0].timeouts.request: must be a duration',
  ],
  [rule('timeouts: { request: 99999h }'), 'error: spec.rules[0].timeouts.request: must be at most'],
  [
    rule('retry: { codes: [200], attempts: 0 }'),
    'error: spec.rules[0].retry.codes[0]',
    'error: spec.rules[0].retry.attempts',
  ],
  [rule('sessionPersistence: {}'), 'warning: spec.rules[0].sessionPersistence: is not supported'],
];

const grants: readonly Case[] = [
  ['{}', 'error: spec.from: is required', 'error: spec.to: is required'],
  [
    '{ from: [], to: [{}] }',
    'error: spec.from: must have',
    'error: spec.to[0].group',
    'error: spec.to[0].kind',
  ],
  [
    '{ from: [{ group: "", kind: a, namespace: A }], to: [{ group: "", kind: Secret }] }',
    'error: spec.from[0].namespace: must be the name of a namespace',
  ],
  [
    '{ from: [{ group: gateway.networking.k8s.io, kind: Httproute, namespace: a }, { group: a.b, kind: Gateway, namespace: a }], to: [{ group: core, kind: Service }, { group: "", kind: Secret }, { group: "", kind: Services }] }',
    'warning: spec.from[0]: allows nothing: of gateway.networking.k8s.io, Gateway and HTTPRoute are read',
    'warning: spec.from[1]: allows nothing',
    'warning: spec.to[0]: allows nothing: of group "", Secret and Service are referred to',
    'warning: spec.to[2]: allows nothing',
  ],
];

const tables = { Gateway: gateways, HTTPRoute: routes, ReferenceGrant: grants };

for (const [kind, cases] of Object.entries(tables)) {
  describe(kind, () => {
    it.each(cases.map((one) => [one[0].slice(0, 150), one] as const))('says of %s', (_, one) => {
      expectSaid(of(kind), one);
    });
  });
}

it('says nothing of the class of another controller', () => {
  const theirs = objectOf(
    of('GatewayClass'),
    '{ controllerName: a.b/c, parametersRef: { group: a, kind: B, name: c } }',
  );
  const ours = objectOf(
    of('GatewayClass'),
    '{ controllerName: istio.io/gateway-controller, parametersRef: { group: a, kind: B, name: c } }',
  );
  const objects = new Objects();
  objects.put(theirs);
  expect(objects.problems()).toEqual([]);
  objects.put(ours);
  expect(objects.problems()).toHaveLength(1);
  objects.put(objectOf(of('GatewayClass'), '{ controllerName: nothing }'));
  expect(objects.problems().at(-1)).toContain('error: spec.controllerName: must be a domain');
});
