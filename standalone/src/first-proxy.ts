import { isDeepStrictEqual } from 'node:util';
import type { Gateway, Service } from '@watershed/model/gen/model.ts';
import type { Ingester } from '@watershed/ingester/app.ts';

/** A proxy that the configuration has something for. */
export interface FirstProxy {
  /** For people: what it would be. */
  readonly what: string;
  /** Istio's node id. */
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Of the first gateway, else beside the first service; `undefined`: there is neither. */
export function firstProxy(
  ingester: Pick<Ingester, 'told'>,
  domain: string,
): FirstProxy | undefined {
  const gateways = ingester
    .told('gateway')
    .flatMap(([{ namespace, name }, { object }]) =>
      object?.$case === 'gateway' && object.value.listeners.length > 0
        ? [{ namespace, name, gateway: object.value }]
        : [],
    );
  const [first] = gateways;
  if (first !== undefined) {
    const { namespace, gateway } = first;
    const node = `router~127.0.0.1~gateway.${namespace}~${namespace}.svc.${domain}`;
    // Several may be one proxy's.
    const all = gateways.filter((one) => one.namespace === namespace && sameSelector(one, first));
    const names = all.map(({ name }) => `${namespace}/${shortOf(name)}`).join(', ');
    const ports = portsOf(all.map((one) => one.gateway));
    const what = `gateway (${names}), which then listens on ${ports}`;
    return { what, node, labels: gateway.selector };
  }
  const services = ingester
    .told('service')
    .flatMap(([key, { object }]) =>
      object?.$case === 'service' ? [{ namespace: key.namespace, service: object.value }] : [],
    );
  // Those with a selector say which workloads there are.
  const found = services.find(({ service }) => hasSelector(service)) ?? services[0];
  if (found === undefined) return undefined;
  const { namespace, service } = found;
  const node = `sidecar~127.0.0.1~workload.${namespace}~${namespace}.svc.${domain}`;
  return { what: `sidecar of ${service.host}`, node, labels: service.selector };
}

/** Those of the Gateway API have a prefix on the log, which tells them from Istio's. */
function shortOf(name: string): string {
  return name.slice(name.lastIndexOf(':') + 1);
}

interface Selecting {
  readonly gateway: Gateway;
}

function sameSelector(a: Selecting, b: Selecting): boolean {
  return isDeepStrictEqual(a.gateway.selector, b.gateway.selector);
}

function portsOf(gateways: readonly Gateway[]): string {
  const all = gateways.flatMap(({ listeners }) => listeners.map(({ port }) => port));
  const ports = [...new Set(all)].sort((a, b) => a - b);
  return `port${ports.length === 1 ? '' : 's'} ${ports.join(', ')}`;
}

function hasSelector({ selector }: Service): boolean {
  return Object.keys(selector).length > 0;
}
