/**
 * What the model has, as users know it: the fields of the object that they wrote, in the words of
 * its API (an Istio Gateway has servers, one of the Gateway API listeners).
 */
import { parseConfigKey } from '@watershed/model/keys.ts';
import { objectOf } from '@watershed/model/objects.ts';
import type { ClusterKey } from './cluster-key.ts';

const gatewayApi = 'gateway.networking.k8s.io';

/** The key is that of a record of `config`. */
function isOfGatewayApi(key: string): boolean {
  return objectOf(parseConfigKey(key)).group === gatewayApi;
}

/** `Gateway edge/public` */
export function objectName(key: string): string {
  const { kind, namespace, name } = objectOf(parseConfigKey(key));
  return `${kind} ${namespace}/${name}`;
}

const listenerFields: Readonly<Record<string, string>> = {
  'port.number': 'port',
  'port.protocol': 'protocol',
  'tls.credentialName': 'tls.certificateRefs',
  'tls.credentialNames': 'tls.certificateRefs',
  'tls.mode': 'tls.options',
};

/** Of a gateway's server, by its port's name: the field as Istio calls it, below the server. */
export function serverField(key: string, server: string, field: string): string {
  if (!isOfGatewayApi(key)) return `spec.servers[${server}].${field}`;
  // The roots of clients are those of all listeners.
  if (field.startsWith('tls.ca')) return 'spec.tls.frontend';
  return `spec.listeners[${server}].${listenerFields[field] ?? field}`;
}

const filters: Readonly<Record<string, string>> = {
  corsPolicy: 'filters[CORS]',
  'headers.request': 'filters[RequestHeaderModifier]',
  'headers.response': 'filters[ResponseHeaderModifier]',
  redirect: 'filters[RequestRedirect]',
  'rewrite.uri': 'filters[URLRewrite]',
  'rewrite.authority': 'filters[URLRewrite]',
  mirrors: 'filters[RequestMirror]',
  'route.destination': 'backendRefs',
  'route.headers': 'backendRefs.filters',
};

/** Of a route's rule, by its name if it has one: the field as Istio calls it, below the rule. */
export function ruleField(key: string, rule: string, field: string): string {
  const at = rule === '' ? '' : `[${rule}]`;
  if (!isOfGatewayApi(key)) return `spec.http${at}.${field}`;
  return `spec.rules${at}.${filters[field] ?? field.replace(/^match\./u, 'matches.')}`;
}

/** `port 80 of api.example.com`, `port 80 of api.example.com, subset v1` */
export function clusterWords({ host, port, subset }: Destination): string {
  return `port ${port} of ${host}${subset === '' ? '' : `, subset ${subset}`}`;
}

type Destination = Pick<ClusterKey, 'host' | 'port' | 'subset'>;

/** The same, of a cluster's name (`outbound|80|v1|api.example.com`); others stay as they are. */
export function destinationWords(cluster: string): string {
  const [, port, subset = '', host, more] = cluster.split('|');
  if (host === undefined || more !== undefined) return cluster;
  return clusterWords({ host, port: Number(port), subset });
}
