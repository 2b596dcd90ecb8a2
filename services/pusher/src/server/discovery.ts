/** The services of the xDS protocol: a row each. */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { PeerIdentity } from '../identity/authenticator.ts';
import type { Caller } from '../identity/caller.ts';
import type { Hub } from '../push/hub.ts';
import type { Carrier, StreamEnd } from '../push/carrier.ts';
import { answerWaitMs } from '../push/last-word.ts';
import type { Mode } from '../session/request.ts';
import type { ServingState } from '../serving.ts';
import type { Row } from './guard.ts';
import { status, type CallHandler, type ServerCall, type StatusCode } from './port.ts';
import { unary } from './unary.ts';

type Variant = 'Stream' | 'Delta' | 'Fetch';

interface Service {
  readonly service: string;
  /** A method's name behind its variant. */
  readonly noun: string;
  readonly variants: readonly Variant[];
  /** Absent: aggregated. */
  readonly onlyType?: string;
}

const all: readonly Variant[] = ['Stream', 'Delta', 'Fetch'];

function service(name: string, noun: string, onlyType: string, variants = all): Service {
  return { service: `envoy.service.${name}`, noun, variants, onlyType };
}

const { cluster, endpoint, listener, route, secret, virtualHost, extensionConfig, runtime } =
  resourceTypes;

const services: readonly Service[] = [
  {
    service: 'envoy.service.discovery.v3.AggregatedDiscoveryService',
    noun: 'AggregatedResources',
    variants: ['Stream', 'Delta'],
  },
  service('cluster.v3.ClusterDiscoveryService', 'Clusters', cluster),
  service('endpoint.v3.EndpointDiscoveryService', 'Endpoints', endpoint),
  service('listener.v3.ListenerDiscoveryService', 'Listeners', listener),
  service('route.v3.RouteDiscoveryService', 'Routes', route),
  service('secret.v3.SecretDiscoveryService', 'Secrets', secret),
  service('extension.v3.ExtensionConfigDiscoveryService', 'ExtensionConfigs', extensionConfig),
  service('runtime.v3.RuntimeDiscoveryService', 'Runtime', runtime),
  // Delta only (rule 48).
  service('route.v3.VirtualHostDiscoveryService', 'VirtualHosts', virtualHost, ['Delta']),
];

export function discoveryRows(hub: Hub, serving: ServingState): readonly Row[] {
  return services.flatMap(({ service, noun, variants, onlyType }) =>
    variants.map((variant): Row => ({
      path: `/${service}/${variant}${noun}`,
      access: 'proxy',
      open: openerOf({ hub, serving }, variant, onlyType),
    })),
  );
}

type Opener = (call: ServerCall, caller: Caller) => CallHandler;

function openerOf(of: Serving, variant: Variant, onlyType: string | undefined): Opener {
  const mode: Mode = variant === 'Delta' ? 'delta' : 'sotw';
  const how = onlyType === undefined ? { mode } : { mode, onlyType };
  return variant === 'Fetch'
    ? (call, caller) => openFetch(of, call, caller, how)
    : (call, caller) => openStream(of.hub, call, caller, how);
}

interface Serving {
  readonly hub: Hub;
  readonly serving: ServingState;
}

interface How {
  readonly mode: Mode;
  readonly onlyType?: string;
}

const codes: Readonly<Record<StreamEnd['code'], StatusCode>> = {
  ok: status.ok,
  'invalid-argument': status.invalidArgument,
  'resource-exhausted': status.resourceExhausted,
  'permission-denied': status.permissionDenied,
  internal: status.internal,
  unavailable: status.unavailable,
};

/** A call. */
class CallCarrier implements Carrier {
  readonly caller: Caller;
  readonly peer: PeerIdentity;
  readonly #call: ServerCall;

  constructor(call: ServerCall, caller: Caller) {
    this.caller = caller;
    this.peer = call.peer;
    this.#call = call;
  }

  get isReady(): boolean {
    return this.#call.isReady;
  }

  write(framed: Uint8Array, compressible: boolean): boolean {
    return this.#call.write(framed, compressible);
  }

  end({ code, message }: StreamEnd): void {
    this.#call.end({ code: codes[code], message });
  }
}

/** A call of one response. */
class FetchCarrier extends CallCarrier {
  readonly #reply: (framed: Uint8Array) => void;

  constructor(call: ServerCall, caller: Caller, reply: (framed: Uint8Array) => void) {
    super(call, caller);
    this.#reply = reply;
  }

  override get isReady(): boolean {
    return true;
  }

  override write(framed: Uint8Array): boolean {
    this.#reply(framed);
    return true;
  }
}

function openStream(hub: Hub, call: ServerCall, caller: Caller, how: How): CallHandler {
  return hub.open(new CallCarrier(call, caller), how);
}

/**
 * A stream of one response. What the client says it has is not regarded: gRPC, unlike REST (rule
 * 52), has no word for "nothing changed", and an empty answer would mean that all is gone (rule
 * 20). The version tells that it is the same.
 */
function openFetch(
  { hub, serving }: Serving,
  call: ServerCall,
  caller: Caller,
  how: How,
): CallHandler {
  return unary(call, serving, (request, reply) => {
    const replied = (framed: Uint8Array): void => {
      patience.cancel();
      reply(framed);
    };
    const stream = hub.open(new FetchCarrier(call, caller, replied), { ...how, once: true });
    const patience = hub.time.after(answerWaitMs, () => {
      stream.end({ code: 'unavailable', message: 'nothing is known of this scope yet' });
    });
    stream.message(request);
    return {
      closed: () => {
        patience.cancel();
        stream.closed();
      },
    };
  });
}
