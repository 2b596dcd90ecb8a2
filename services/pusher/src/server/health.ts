/** gRPC health checking (grpc/grpc `doc/health-checking.md`), `grpc.health.v1`. */
import type { ServingState } from '../serving.ts';
import { FieldReader } from '../wire.ts';
import type { Row } from './guard.ts';
import { status, type CallHandler, type ServerCall } from './port.ts';

const serviceName = 'grpc.health.v1.Health';

/**
 * HealthCheckResponse: status 1 (SERVING 1, NOT_SERVING 2, SERVICE_UNKNOWN 3), with the gRPC
 * prefix.
 */
function response(value: 1 | 2 | 3): Uint8Array {
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
  const stateOf = (service: string): 1 | 2 | 3 => {
    if (service !== '' && service !== serviceName && !known.has(service)) return 3;
    return serving.value ? 1 : 2;
  };
  const handler = (call: ServerCall, watch: boolean): CallHandler => {
    let unwatch = (): void => undefined;
    let asked = false;
    return {
      message: (bytes) => {
        asked = true;
        let service: string;
        try {
          service = serviceOf(bytes);
        } catch {
          call.end({ code: status.invalidArgument, message: 'not a HealthCheckRequest' });
          return;
        }
        const state = stateOf(service);
        if (!watch && state === 3) {
          call.end({ code: status.notFound, message: `unknown service ${service}` });
          return;
        }
        call.write(response(state));
        if (!watch) {
          call.end({ code: status.ok, message: '' });
          return;
        }
        unwatch();
        unwatch = serving.watch(() => call.write(response(stateOf(service))));
      },
      halfClosed: () => {
        if (!asked) call.end({ code: status.internal, message: 'no request' });
      },
      drain: () => undefined,
      closed: () => unwatch(),
    };
  };
  return [
    { path: `/${serviceName}/Check`, access: 'public', open: (call) => handler(call, false) },
    { path: `/${serviceName}/Watch`, access: 'public', open: (call) => handler(call, true) },
  ];
}
