/** How listeners speak HTTP: one connection manager for sidecars (both directions) and gateways. */
import type { Filter } from '@watershed/proto/gen/envoy/config/listener/v3/listener_components.ts';
import type { RouteConfiguration } from '@watershed/proto/gen/envoy/config/route/v3/route.ts';
import { Cors } from '@watershed/proto/gen/envoy/extensions/filters/http/cors/v3/cors.ts';
import { HTTPFault } from '@watershed/proto/gen/envoy/extensions/filters/http/fault/v3/fault.ts';
import { FilterConfig as GrpcStats } from '@watershed/proto/gen/envoy/extensions/filters/http/grpc_stats/v3/config.ts';
import { GrpcWeb } from '@watershed/proto/gen/envoy/extensions/filters/http/grpc_web/v3/grpc_web.ts';
import { OnDemand } from '@watershed/proto/gen/envoy/extensions/filters/http/on_demand/v3/on_demand.ts';
import { Router } from '@watershed/proto/gen/envoy/extensions/filters/http/router/v3/router.ts';
import {
  type HttpFilter,
  HttpConnectionManager,
  HttpConnectionManager_ForwardClientCertDetails as ForwardCertificate,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_SetCurrentClientCertDetails as CertificateDetails,
} from '@watershed/proto/gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts';
import type { Any } from '@watershed/proto/gen/google/protobuf/any.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import { PathNormalization } from '@watershed/model/gen/model.ts';
import { type AccessLogArgument, accessLogs } from './access-log.ts';
import { configSource, type Streams } from './config-source.ts';

/** Which way requests go, seen from the proxy. */
export type Traffic = 'outbound' | 'inbound' | 'gateway';

/** What the mesh says of every connection manager. */
export interface HttpSettings {
  readonly pathNormalization: PathNormalization;
  readonly accessLog: AccessLogArgument | undefined;
}

export interface HttpFilterOptions {
  readonly traffic: Traffic;
  readonly statPrefix: string;
  /** The name of a table over RDS, or the table itself. */
  readonly routes: string | RouteConfiguration;
  readonly settings: HttpSettings;
  /** gRPC-Web is translated to gRPC. */
  readonly grpcWeb: boolean;
  /** Virtual hosts that the table has not are asked for as requests come for them. */
  readonly onDemand?: boolean;
  /** Where the table is asked for by its name. */
  readonly streams: Streams;
}

export function httpConnectionManager(options: HttpFilterOptions): Filter {
  const { traffic, settings, statPrefix } = options;
  const manager = HttpConnectionManager.fromPartial({
    statPrefix,
    // "envoy" on the way out is istiod's, and Envoy's own default.
    serverName: traffic === 'outbound' ? '' : 'istio-envoy',
    proxy100Continue: true,
    streamIdleTimeout: { seconds: 0, nanos: 0 },
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    // A gateway is the edge: the peer's address is the client's, and what it says of itself is not
    // trusted.
    useRemoteAddress: traffic === 'gateway',
    ...clientCertificates[traffic],
    ...normalisation(settings.pathNormalization),
  });
  manager.routeSpecifier = routesOf(options.routes, options.streams);
  manager.accessLog = accessLogs(settings.accessLog);
  manager.httpFilters = filtersOf(options);
  return {
    name: 'envoy.filters.network.http_connection_manager',
    configType: {
      $case: 'typedConfig',
      value: pack(typeUrls.httpConnectionManager, HttpConnectionManager, manager),
    },
  };
}

type Manager = Partial<HttpConnectionManager>;

/** What the upstream learns of the client's certificate (istiod's defaults). */
const clientCertificates: Readonly<Record<Traffic, Manager>> = {
  outbound: {},
  inbound: {
    forwardClientCertDetails: ForwardCertificate.APPEND_FORWARD,
    setCurrentClientCertDetails: details({ subject: true, dns: true, uri: true }),
  },
  gateway: {
    forwardClientCertDetails: ForwardCertificate.SANITIZE_SET,
    setCurrentClientCertDetails: details({ subject: true, cert: true, dns: true, uri: true }),
  },
};

function details(some: Partial<CertificateDetails>): CertificateDetails {
  return CertificateDetails.fromPartial(some);
}

function normalisation(wanted: PathNormalization): Manager {
  const escapes = { pathWithEscapedSlashesAction: EscapedSlashes.KEEP_UNCHANGED };
  switch (wanted) {
    case PathNormalization.PATH_NORMALIZATION_NONE:
      return { ...escapes, normalizePath: false };
    case PathNormalization.PATH_NORMALIZATION_MERGE_SLASHES:
      return { ...escapes, normalizePath: true, mergeSlashes: true };
    case PathNormalization.PATH_NORMALIZATION_DECODE_AND_MERGE_SLASHES:
      return {
        pathWithEscapedSlashesAction: EscapedSlashes.UNESCAPE_AND_FORWARD,
        normalizePath: true,
        mergeSlashes: true,
      };
    default:
      return { ...escapes, normalizePath: true };
  }
}

function routesOf(
  routes: string | RouteConfiguration,
  streams: Streams,
): HttpConnectionManager['routeSpecifier'] {
  if (typeof routes !== 'string') return { $case: 'routeConfig', value: routes };
  return { $case: 'rds', value: { configSource: configSource(streams), routeConfigName: routes } };
}

/** Routes configure faults and CORS, so both filters are everywhere. The router comes last. */
function filtersOf({ grpcWeb, onDemand }: HttpFilterOptions): HttpFilter[] {
  const web = grpcWeb
    ? [filter('envoy.filters.http.grpc_web', pack(typeUrls.grpcWeb, GrpcWeb, {}))]
    : [];
  // Before all that reads the route.
  const demand = onDemand === true ? [filter('envoy.filters.http.on_demand', onDemandFilter)] : [];
  return [
    ...demand,
    ...web,
    filter('envoy.filters.http.grpc_stats', grpcStats),
    faultFilter(),
    filter('envoy.filters.http.cors', pack(typeUrls.cors, Cors, {})),
    routerFilter(),
  ];
}

const onDemandFilter = pack(typeUrls.onDemand, OnDemand, OnDemand.fromPartial({}));

const fault = pack(typeUrls.httpFault, HTTPFault, HTTPFault.fromPartial({}));

export function faultFilter(): HttpFilter {
  return filter('envoy.filters.http.fault', fault);
}

export function routerFilter(): HttpFilter {
  const config = pack(typeUrls.router, Router, Router.fromPartial({}));
  return filter('envoy.filters.http.router', config);
}

/** One count per service and not per method, as istiod's. */
const grpcStats = pack(
  typeUrls.grpcStats,
  GrpcStats,
  GrpcStats.fromPartial({
    emitFilterState: true,
    perMethodStatSpecifier: { $case: 'statsForAllMethods', value: false },
  }),
);

function filter(name: string, config: Any): HttpFilter {
  return {
    name,
    configType: { $case: 'typedConfig', value: config },
    isOptional: false,
    disabled: false,
  };
}
