/** Short forms of users' objects, as far as the tests need the same ones again and again. */
import type { UserObject } from './config-dir.ts';

type Labels = Readonly<Record<string, string>>;

export interface ServiceSpec {
  readonly name: string;
  readonly namespace: string;
  /** Several: all lead to the same port of the workload. */
  readonly port: number | readonly number[];
  /** `http`, `grpc`, `tcp`: Istio tells the protocol from the start of the port's name. */
  readonly portName?: string;
  readonly clusterIP?: string;
  /** Each is a workload on 127.0.0.1. */
  readonly workloads: readonly { readonly port: number; readonly labels?: Labels }[];
}

/** A Service that selects `app: NAME`, and a WorkloadEntry for each of its workloads. */
export function service(spec: ServiceSpec): readonly UserObject[] {
  const { name, namespace, port, portName = 'http', workloads } = spec;
  const selector = { app: name };
  const ports = [port].flat().map((number, at) => ({
    name: at === 0 ? portName : `${portName}-${at}`,
    port: number,
  }));
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: {
        ...(spec.clusterIP === undefined ? {} : { clusterIP: spec.clusterIP }),
        selector,
        ports,
      },
    },
    ...workloads.map((workload, at) => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'WorkloadEntry',
      metadata: { name: `${name}-${at}`, namespace },
      spec: {
        address: '127.0.0.1',
        ports: Object.fromEntries(ports.map((one) => [one.name, workload.port])),
        labels: { ...selector, ...workload.labels },
      },
    })),
  ];
}

export function istio(
  kind: string,
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>>,
): UserObject {
  return { apiVersion: 'networking.istio.io/v1', kind, metadata: { name, namespace }, spec };
}

export function gatewayApi(
  kind: string,
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>>,
): UserObject {
  return { apiVersion: 'gateway.networking.k8s.io/v1', kind, metadata: { name, namespace }, spec };
}

/** An Istio Gateway with one plain HTTP port on proxies with this label. */
export function httpGateway(
  namespace: string,
  name: string,
  selector: Labels,
  port: number,
): UserObject {
  const servers = [{ port: { number: port, name: 'http', protocol: 'HTTP' }, hosts: ['*'] }];
  return istio('Gateway', namespace, name, { selector, servers });
}

/** A VirtualService of one host with one rule that sends all to one destination. */
export function routeTo(options: {
  readonly namespace: string;
  readonly name: string;
  readonly host: string;
  readonly gateways: readonly string[];
  readonly to: { readonly host: string; readonly subset?: string; readonly port?: number };
  readonly routeName?: string;
}): UserObject {
  const { namespace, name, host, gateways, to, routeName } = options;
  const { port, ...destination } = to;
  const route = [
    { destination: { ...destination, ...(port === undefined ? {} : { port: { number: port } }) } },
  ];
  return istio('VirtualService', namespace, name, {
    hosts: [host],
    gateways,
    http: [{ ...(routeName === undefined ? {} : { name: routeName }), route }],
  });
}

export function tlsSecret(
  namespace: string,
  name: string,
  pair: { readonly certificate: string; readonly key: string },
): UserObject {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name, namespace },
    data: { 'tls.crt': base64(pair.certificate), 'tls.key': base64(pair.key) },
  };
}
