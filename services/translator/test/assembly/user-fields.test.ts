/** Diagnostics name the fields of the object that the user wrote, in the words of its API. */
import { expect, it } from 'vitest';
import {
  clusterWords,
  destinationWords,
  objectName,
  ruleField,
  serverField,
} from '../../src/assembly/user-fields.ts';

const istioGateway = 'c|gateway|edge|public';
const k8sGateway = 'c|gateway|edge|gateway-api:public';

it.each([
  [istioGateway, 'port.number', 'spec.servers[https].port.number'],
  [istioGateway, 'tls.credentialNames', 'spec.servers[https].tls.credentialNames'],
  [k8sGateway, 'port.number', 'spec.listeners[https].port'],
  [k8sGateway, 'tls.credentialName', 'spec.listeners[https].tls.certificateRefs'],
  [k8sGateway, 'tls.mode', 'spec.listeners[https].tls.options'],
  [k8sGateway, 'tls.caCertCredentialName', 'spec.tls.frontend'],
  [k8sGateway, 'tls', 'spec.listeners[https].tls'],
])('of a server of %s, %s is %s', (key, field, expected) => {
  expect(serverField(key, 'https', field)).toBe(expected);
});

const virtualService = 'c|route|shop|a';
const httpRoute = 'c|route|shop|httproute:a';

it.each([
  [virtualService, 'all', 'corsPolicy', 'spec.http[all].corsPolicy'],
  [virtualService, '', 'match.headers', 'spec.http.match.headers'],
  [httpRoute, 'all', 'headers.request', 'spec.rules[all].filters[RequestHeaderModifier]'],
  [httpRoute, '', 'route.destination', 'spec.rules.backendRefs'],
  [httpRoute, '', 'match.headers', 'spec.rules.matches.headers'],
])('of a rule of %s called "%s", %s is %s', (key, rule, field, expected) => {
  expect(ruleField(key, rule, field)).toBe(expected);
});

it('names the object of either API by its kind, namespace and name', () => {
  expect(objectName(istioGateway)).toBe('Gateway edge/public');
  expect(objectName(k8sGateway)).toBe('Gateway edge/public');
  expect(objectName(httpRoute)).toBe('HTTPRoute shop/a');
});

it('says which port and subset of a host a cluster is, and leaves names of other clusters', () => {
  const words = 'port 80 of a.test, subset v1';
  expect(clusterWords({ host: 'a.test', port: 80, subset: 'v1' })).toBe(words);
  expect(destinationWords('outbound|80|v1|a.test')).toBe(words);
  expect(destinationWords('outbound|80||a.test')).toBe('port 80 of a.test');
  expect(destinationWords('PassthroughCluster')).toBe('PassthroughCluster');
});
