import type { Reader } from '@watershed/derive/graph.ts';
import { Gateway, GatewayListener, Protocol } from '@watershed/model/gen/model.ts';
import { configKey } from '@watershed/model/keys.ts';
import { decode, isServed, show } from '../../decode.ts';
import type { Emission, Kind, Problem, SourceObject, World } from '../../kind.ts';
import { whyAbsent } from '../common/absent.ts';
import { serviceAt } from '../common/hosts.ts';
import { serviceKind } from '../core/service.ts';
import { group } from './fields.ts';
import { gatewayClassKind, ownerOfClass } from './gateway-class.ts';
import { gatewaySpec } from './gateway-spec.ts';
import type { GatewaySpec, Listener } from './gateway-spec.ts';
import { listenerTls } from './listener-tls.ts';
import { gatewayName } from '@watershed/model/objects.ts';

const blankGateway = Gateway.create();
const blankListener = GatewayListener.create();

/** What a deployment of the gateway's proxies carries, as istiod's does. */
const gatewayNameLabel = 'gateway.networking.k8s.io/gateway-name';

/** Where `kind` is the API's own Gateway. */
export const k8sGatewayKind: Kind<GatewaySpec> = {
  apiVersions: [`${group}/v1`, `${group}/v1beta1`],
  kind: 'Gateway',
  namespaced: true,
  decode: (raw) =>
    decode<GatewaySpec>(gatewaySpec, raw['spec'] ?? {}, {
      path: 'spec',
      unknownFields: isServed(raw) ? 'warning' : 'error',
    }),
  emit,
};

const protocols: Readonly<Record<string, Protocol>> = {
  HTTP: Protocol.PROTOCOL_HTTP,
  HTTPS: Protocol.PROTOCOL_HTTPS,
  TLS: Protocol.PROTOCOL_TLS,
};

function emit(read: Reader, world: World, object: SourceObject<GatewaySpec>): Emission {
  const { spec, ref } = object;
  const owner = ownerOfClass(read, world, spec.gatewayClassName);
  if (owner === 'foreign') return { events: [], problems: [] };
  if (owner === 'unknown') return { events: [], problems: [lost(read, world, spec)] };
  const { namespace, name } = ref;
  const problems: Problem[] = [];
  const { listeners, conflicts } = usableListeners(spec.listeners);
  problems.push(...conflicts);
  const events: GatewayListener[] = [];
  for (const { listener, index } of listeners) {
    const made = emitListener(read, world, object, listener);
    problems.push(...made.problems.map((problem) => within(problem, index)));
    if (made.listener !== undefined) events.push(made.listener);
  }
  const placed = placement(read, world, object);
  const gateway: Gateway = {
    ...blankGateway,
    ...placed.where,
    listeners: events,
    createdMs: object.createdMs,
  };
  const key = configKey({
    cluster: world.settings.cluster,
    kind: 'gateway',
    namespace,
    name: gatewayName(name),
  });
  const event = { object: { $case: 'gateway' as const, value: gateway } };
  return { events: [{ topic: 'config', key, event }], problems: [...problems, ...placed.problems] };
}

function lost(read: Reader, world: World, { gatewayClassName }: GatewaySpec): Problem {
  const why = whyAbsent(read, world, gatewayClassKind, `/${gatewayClassName}`);
  const reason = `the Gateway is left alone: ${why}`;
  const value = show(gatewayClassName);
  return { severity: 'warning', field: 'spec.gatewayClassName', value, reason };
}

function within(problem: Problem, index: number): Problem {
  return { ...problem, field: `spec.listeners[${index}].${problem.field}` };
}

interface Indexed {
  readonly listener: Listener;
  readonly index: number;
}

/**
 * Listeners of one port speak one protocol (HTTPS and TLS are told apart by SNI); the first
 * decides.
 */
export function usableListeners(listeners: readonly Listener[]): {
  readonly listeners: readonly Indexed[];
  readonly conflicts: readonly Problem[];
} {
  const familyOfPort = new Map<number, { family: string; name: string }>();
  const usable: Indexed[] = [];
  const conflicts: Problem[] = [];
  for (const [index, listener] of listeners.entries()) {
    const { protocol, port, name } = listener;
    const leaveOut = (reason: string): void => {
      const field = `spec.listeners[${index}].protocol`;
      conflicts.push({ severity: 'warning', field, value: show(protocol), reason });
    };
    const family = protocol === 'HTTPS' ? 'TLS' : protocol;
    const first = familyOfPort.get(port);
    if (!Object.hasOwn(protocols, protocol)) {
      leaveOut('is not supported: the listener is left out');
    } else if (first !== undefined && first.family !== family) {
      leaveOut(`conflicts with listener ${first.name} of the same port: the listener is left out`);
    } else {
      familyOfPort.set(port, { family, name: first?.name ?? name });
      usable.push({ listener, index });
    }
  }
  return { listeners: usable, conflicts };
}

interface Made {
  readonly listener?: GatewayListener;
  readonly problems: readonly Problem[];
}

function emitListener(
  read: Reader,
  world: World,
  object: SourceObject<GatewaySpec>,
  listener: Listener,
): Made {
  const { tls, problems } = listenerTls(read, world, object, listener);
  // Without its certificate, or without asking for the client's, it must not be opened.
  if (listener.tls !== undefined && tls === undefined) return { problems };
  return {
    listener: {
      ...blankListener,
      name: listener.name,
      port: listener.port,
      protocol: protocols[listener.protocol] ?? Protocol.UNRECOGNIZED,
      // Which namespaces' routes attach is decided where a route is emitted.
      hosts: [{ namespace: '*', host: listener.hostname ?? '*' }],
      tls,
    },
    problems,
  };
}

interface Placement {
  readonly where: Pick<Gateway, 'selector' | 'sameNamespace'>;
  readonly problems: readonly Problem[];
}

/**
 * Which proxies it runs on: those that carry its name, or those behind the Service that an address
 * names (a gateway that the user deploys, as in istiod).
 */
function placement(read: Reader, world: World, object: SourceObject<GatewaySpec>): Placement {
  const { namespace, name } = object.ref;
  const own = { selector: { [gatewayNameLabel]: name }, sameNamespace: true };
  const problems: Problem[] = [];
  for (const [index, { type, value }] of object.spec.addresses.entries()) {
    const warn = (reason: string): void => {
      const field = `spec.addresses[${index}]`;
      problems.push({ severity: 'warning', field, value: show(value), reason });
    };
    const service = type === 'Hostname' ? serviceOf(value, namespace, world) : undefined;
    if (type !== 'Hostname') warn(`of type ${type} is not assigned: addresses are the Service's`);
    else if (service === undefined) warn('names no Service of this cluster, and is left out');
    else {
      const key = `${service.namespace}/${service.name}`;
      const found = read.get(world.objects(serviceKind), key);
      const selector = found?.spec.selector ?? {};
      if (Object.keys(selector).length > 0) {
        const sameNamespace = service.namespace === namespace;
        return { where: { selector: { ...selector }, sameNamespace }, problems };
      }
      const why = found === undefined ? whyAbsent(read, world, serviceKind, key) : undefined;
      warn(`is left out: ${why ?? `Service ${key} selects nothing`}`);
    }
  }
  return { where: own, problems };
}

/** `name`, or `name.namespace.svc.cluster.local`. */
function serviceOf(host: string, own: string, world: World): ReturnType<typeof serviceAt> {
  if (!host.includes('.')) return { namespace: own, name: host };
  return serviceAt(host, world.settings.domain);
}
