/**
 * Where a router listens for a gateway's port. A Service in front of the router may take its port
 * 80 to 8080: then the gateway's 80 is meant as the Service's, and the router listens on 8080
 * (Istio).
 */
import type { Query, Reader } from '@watershed/derive/graph.ts';
import type { ServicePort } from '@watershed/model/gen/model.ts';
import type { ScopeClass } from '@watershed/model/gen/record.ts';
import { labelKey, type Inputs } from '../inputs.ts';
import { sameData } from './equal.ts';
import { selects } from './policies.ts';

/** What of a router its ports depend on. */
export type RouterKey = Pick<ScopeClass, 'namespace' | 'labels' | 'cluster' | 'podPorts'>;

/** A Service's port, and where the router has it. */
export interface PortTarget {
  readonly port: number;
  readonly target: number;
}

export function routerId({ namespace, labels, cluster, podPorts }: RouterKey): string {
  return JSON.stringify([namespace, cluster, labels, podPorts]);
}

/** Of the Services that select the router, the oldest first. */
export function createPortTargets(inputs: Inputs): Query<RouterKey, readonly PortTarget[]> {
  return inputs.graph.query<RouterKey, readonly PortTarget[]>({
    name: 'gatewayPortTargets',
    id: routerId,
    compute: (read, key) => targetsOf(inputs, read, key),
    equal: sameData,
  });
}

/** The first Service that has the port decides; without one, it is the router's own. */
export function listeningPort(targets: readonly PortTarget[], port: number): number {
  return targets.find((one) => one.port === port)?.target ?? port;
}

function targetsOf(inputs: Inputs, read: Reader, key: RouterKey): readonly PortTarget[] {
  const { namespace, labels, cluster, podPorts } = key;
  const services = Object.entries(labels)
    .map(([name, value]) => labelKey(namespace, name, value))
    .flatMap((indexKey) => read.lookup(inputs.indexes.servicesByWorkload, indexKey))
    .map((entry) => entry.value)
    .filter((service) => service.cluster === cluster || cluster === '')
    .filter((service) => selects(service.value.selector, labels));
  services.sort((a, b) => a.value.createdMs - b.value.createdMs || (a.key < b.key ? -1 : 1));
  return services.flatMap(({ value }) =>
    value.ports.map((port) => ({ port: port.number, target: targetOf(port, podPorts) })),
  );
}

/** A name that the router's pod does not have says nothing. */
function targetOf(port: ServicePort, podPorts: Readonly<Record<string, number>>): number {
  const { number, targetPort, targetPortName } = port;
  if (targetPortName !== '') return podPorts[targetPortName] ?? number;
  return targetPort === 0 ? number : targetPort;
}
