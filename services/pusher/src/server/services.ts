/** The table of gRPC services: a row per method. */
import { resourceTypes } from '@watershed/proto/any.ts';
import type { Hub } from '../push/hub.ts';
import type { StreamEnd } from '../push/stream.ts';
import type { ServingState } from '../serving.ts';
import type { Mode } from '../session/request.ts';
import { healthMethods } from './health.ts';
import { status, type CallHandler, type Method, type ServerCall, type StatusCode } from './port.ts';

const ads = '/envoy.service.discovery.v3.AggregatedDiscoveryService';

interface Row {
  readonly path: string;
  readonly mode: Mode;
  /** Of one type; absent: aggregated. */
  readonly onlyType?: string;
}

const rows: readonly Row[] = [
  { path: `${ads}/StreamAggregatedResources`, mode: 'sotw' },
  { path: `${ads}/DeltaAggregatedResources`, mode: 'delta' },
  ...ofType('cluster', 'ClusterDiscoveryService', 'Clusters', resourceTypes.cluster),
  ...ofType('endpoint', 'EndpointDiscoveryService', 'Endpoints', resourceTypes.endpoint),
  ...ofType('listener', 'ListenerDiscoveryService', 'Listeners', resourceTypes.listener),
  ...ofType('route', 'RouteDiscoveryService', 'Routes', resourceTypes.route),
  ...ofType('secret', 'SecretDiscoveryService', 'Secrets', resourceTypes.secret),
];

function ofType(pack: string, service: string, noun: string, onlyType: string): readonly Row[] {
  const base = `/envoy.service.${pack}.v3.${service}`;
  return [
    { path: `${base}/Stream${noun}`, mode: 'sotw', onlyType },
    { path: `${base}/Delta${noun}`, mode: 'delta', onlyType },
  ];
}

export interface ServicesOptions {
  readonly hub: Hub;
  /** For the health service. */
  readonly serving: ServingState;
}

export function methodsOf({ hub, serving }: ServicesOptions): readonly Method[] {
  const streams = rows.map(({ path, mode, onlyType }): Method => ({
    path,
    open: (call) => openStream(hub, call, onlyType === undefined ? { mode } : { mode, onlyType }),
  }));
  const known = new Set(rows.map(({ path }) => path.slice(1, path.lastIndexOf('/'))));
  return [...streams, ...healthMethods(serving, known)];
}

const codes: Readonly<Record<StreamEnd['code'], StatusCode>> = {
  ok: status.ok,
  'invalid-argument': status.invalidArgument,
  'resource-exhausted': status.resourceExhausted,
  internal: status.internal,
  unavailable: status.unavailable,
};

function openStream(
  hub: Hub,
  call: ServerCall,
  how: { readonly mode: Mode; readonly onlyType?: string },
): CallHandler {
  const stream = hub.open(
    {
      peer: call.peer,
      write: (framed) => call.write(framed),
      end: ({ code, message }) => call.end({ code: codes[code], message }),
    },
    how,
  );
  return {
    message: (bytes) => stream.message(bytes),
    halfClosed: () => stream.end({ code: 'ok', message: '' }),
    drain: () => stream.writable(),
    closed: () => stream.closed(),
  };
}
