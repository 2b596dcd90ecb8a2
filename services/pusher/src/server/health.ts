/** gRPC health checking (grpc/grpc `doc/health-checking.md`), `grpc.health.v1`. */
import type { ServingState } from '../serving.ts';
import { FieldReader } from '../wire.ts';
import type { Row } from './guard.ts';
import { lasting } from './lasting.ts';
import { status, type CallHandler, type ServerCall } from './port.ts';
import { unary } from './unary.ts';

const serviceName = 'grpc.health.v1.Health';

type State = 1 | 2 | 3;

/**
 * HealthCheckResponse: status 1 (SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3), with the gRPC
 * prefix.
 */
function response(value: State): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 2, 0x08, value);
}

/** HealthCheckRequest: service 1. */
function serviceOf(request: Uint8Array): string {
  const fields = new FieldReader(request);
  let service = '';
  while (fields.next()) if (fields.field === 1 && fields.wireType === 2) service = fields.text();
  return service;
}

/** `known`: services that may be asked for by name; "" is the whole server. */
export function healthRows(serving: ServingState, known: ReadonlySet<string>): readonly Row[] {
  const stateOf = (service: string): State => {
    if (service !== '' && service !== serviceName && !known.has(service)) return 3;
    return serving.value ? 1 : 2;
  };
  return [
    {
      path: `/${serviceName}/Check`,
      access: 'public',
      open: (call) =>
        unary(call, serving, (request, reply) => {
          const service = decode(call, request);
          if (service === undefined) return undefined;
          const state = stateOf(service);
          if (state !== 3) reply(response(state));
          else call.end({ code: status.notFound, message: `unknown service ${service}` });
          return undefined;
        }),
    },
    {
      path: `/${serviceName}/Watch`,
      access: 'public',
      open: (call) => lasting(call, serving, watch(call, serving, stateOf)),
    },
  ];
}

/** The state as it changes; of what a client does not read, the newest. */
function watch(
  call: ServerCall,
  serving: ServingState,
  stateOf: (service: string) => State,
): CallHandler {
  let watched: string | undefined;
  let told: State | undefined;
  let blocked = false;
  let unwatch = (): void => undefined;
  const tell = (): void => {
    if (watched === undefined || blocked) return;
    const state = stateOf(watched);
    if (state === told) return;
    told = state;
    blocked = !call.write(response(state));
  };
  return {
    message: (bytes) => {
      if (watched !== undefined) {
        call.end({ code: status.internal, message: 'more than one request' });
        return;
      }
      watched = decode(call, bytes);
      if (watched === undefined) return;
      unwatch = serving.watch(tell);
      tell();
    },
    halfClosed: () => {
      if (watched === undefined) call.end({ code: status.internal, message: 'no request' });
    },
    drain: () => {
      blocked = false;
      tell();
    },
    closed: () => unwatch(),
  };
}

/** The service of a request; `undefined`: it is none, and the call is over. */
function decode(call: ServerCall, request: Uint8Array): string | undefined {
  try {
    return serviceOf(request);
  } catch {
    call.end({ code: status.invalidArgument, message: 'not a HealthCheckRequest' });
    return undefined;
  }
}
