/** TLS to a cluster's endpoints. */
import type { Cluster_TransportSocketMatch as SocketMatch } from '@watershed/proto/gen/envoy/config/cluster/v3/cluster.ts';
import type { TransportSocket } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { ProxyProtocolConfig_Version as ProxyVersion } from '@watershed/proto/gen/envoy/config/core/v3/proxy_protocol.ts';
import { ProxyProtocolUpstreamTransport } from '@watershed/proto/gen/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.ts';
import {
  CertificateValidationContext,
  TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import {
  CommonTlsContext,
  UpstreamTlsContext,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import { ProxyProtocol } from '@watershed/model/gen/model.ts';
import { mtlsEndpoint } from './addresses.ts';
import type { Streams } from './config-source.ts';
import { noAutoSni, type AutoSni, type UpstreamProtocol } from './connection-pool.ts';
import {
  certificateFiles,
  meshRoots,
  namesOf,
  rawBufferSocket,
  rootsOf,
  secretOver,
  staticSecret,
  tlsSocketName,
  transportSocket,
  validateWith,
  workloadCertificate,
} from './tls.ts';

export type UpstreamTls = MeshTls | OriginatedTls;

/** Mutual TLS between workloads, with the certificates of the bootstrap. */
export interface MeshTls {
  readonly kind: 'mesh';
  /** True: only to endpoints that say they speak it (auto mTLS); others get plain text. */
  readonly byEndpoint: boolean;
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
}

/** TLS as the user says it (SIMPLE, MUTUAL). */
export interface OriginatedTls {
  readonly kind: 'originated';
  /** Absent: as each request's Host says. */
  readonly sni?: string;
  readonly subjectAltNames: readonly string[];
  /** Who the client is, for MUTUAL. */
  readonly client?: ClientCertificate;
  /** Whom it believes. Absent: anybody. */
  readonly roots?: Roots;
}

/** A secret's name over SDS, or files of the proxy's disk. */
export type ClientCertificate =
  | { readonly secret: string }
  | { readonly chainFile: string; readonly keyFile: string };

/** A secret's name over SDS, or a file; "system" for the system's. */
export type Roots = { readonly secret: string } | { readonly file: string };

export interface Sockets {
  readonly transportSocket: TransportSocket | undefined;
  readonly transportSocketMatches: SocketMatch[];
}

/** Without an SNI of the user's, the Host names the server, and what its certificate must say. */
export function autoSni(tls: UpstreamTls | undefined): AutoSni {
  if (tls?.kind !== 'originated' || tls.sni !== undefined) return noAutoSni;
  return { sni: true, sanValidation: tls.roots !== undefined && tls.subjectAltNames.length === 0 };
}

export interface SocketOptions {
  readonly tls: UpstreamTls | undefined;
  readonly protocol: UpstreamProtocol;
  readonly http: boolean;
  readonly proxyProtocol: ProxyProtocol;
  readonly streams: Streams;
}

export function sockets({ tls, protocol, http, proxyProtocol, streams }: SocketOptions): Sockets {
  const wrap = (socket: TransportSocket): TransportSocket =>
    wrapProxyProtocol(socket, proxyProtocol);
  if (tls === undefined) {
    const plain = proxyProtocol !== ProxyProtocol.PROXY_PROTOCOL_NONE;
    return {
      transportSocket: plain ? wrap(rawBufferSocket()) : undefined,
      transportSocketMatches: [],
    };
  }
  if (tls.kind === 'originated') {
    const socket = tlsSocket(tls.sni ?? '', originatedContext(tls, protocol, streams));
    return { transportSocket: wrap(socket), transportSocketMatches: [] };
  }
  const socket = wrap(tlsSocket(tls.sni, meshContext(tls, protocol, http)));
  if (!tls.byEndpoint) return { transportSocket: socket, transportSocketMatches: [] };
  return {
    transportSocket: undefined,
    transportSocketMatches: [
      { name: 'tlsMode-istio', match: mtlsEndpoint, transportSocket: socket },
      { name: 'tlsMode-disabled', match: {}, transportSocket: wrap(rawBufferSocket()) },
    ],
  };
}

function tlsSocket(sni: string, common: CommonTlsContext): TransportSocket {
  const context = UpstreamTlsContext.fromPartial({ sni });
  context.commonTlsContext = common;
  return transportSocket(
    tlsSocketName,
    pack(typeUrls.upstreamTlsContext, UpstreamTlsContext, context),
  );
}

function commonContext(): CommonTlsContext {
  const context = CommonTlsContext.fromPartial({});
  context.tlsParams = TlsParameters.fromPartial({
    tlsMinimumProtocolVersion: TlsProtocol.TLSv1_2,
    tlsMaximumProtocolVersion: TlsProtocol.TLSv1_3,
  });
  return context;
}

/**
 * The protocols offered tell the server's inspectors what follows; Istio's own filter adds the part
 * for HTTP per request, which a stock Envoy cannot, so it is said here where the port's protocol is
 * known.
 */
function meshProtocols(protocol: UpstreamProtocol, http: boolean): string[] {
  if (protocol === 'http2') return ['istio-h2', 'istio', 'h2'];
  if (http && protocol === 'http1') return ['istio-http/1.1', 'istio', 'http/1.1'];
  return ['istio'];
}

function meshContext(tls: MeshTls, protocol: UpstreamProtocol, http: boolean): CommonTlsContext {
  const context = commonContext();
  context.alpnProtocols = meshProtocols(protocol, http);
  context.tlsCertificateSdsSecretConfigs = [staticSecret(workloadCertificate)];
  const names = CertificateValidationContext.fromPartial({});
  names.matchTypedSubjectAltNames = namesOf(tls.subjectAltNames);
  context.validationContextType = validateWith(names, staticSecret(meshRoots));
  return context;
}

function originatedContext(
  tls: OriginatedTls,
  protocol: UpstreamProtocol,
  streams: Streams,
): CommonTlsContext {
  const { client, roots } = tls;
  const context = commonContext();
  if (protocol === 'http2') context.alpnProtocols = ['h2'];
  if (client !== undefined && 'secret' in client) {
    context.tlsCertificateSdsSecretConfigs = [secretOver(streams, client.secret)];
  } else if (client !== undefined) {
    context.tlsCertificates = [certificateFiles(client.chainFile, client.keyFile)];
  }
  if (roots === undefined) return context;
  const names = namesOf(tls.subjectAltNames);
  if ('secret' in roots) {
    const validation = CertificateValidationContext.fromPartial({});
    validation.matchTypedSubjectAltNames = names;
    context.validationContextType = validateWith(validation, secretOver(streams, roots.secret));
    return context;
  }
  const validation = rootsOf(roots.file);
  validation.matchTypedSubjectAltNames = names;
  context.validationContextType = { $case: 'validationContext', value: validation };
  return context;
}

function wrapProxyProtocol(socket: TransportSocket, version: ProxyProtocol): TransportSocket {
  if (version === ProxyProtocol.PROXY_PROTOCOL_NONE) return socket;
  const transport = ProxyProtocolUpstreamTransport.fromPartial({
    config: {
      version: version === ProxyProtocol.PROXY_PROTOCOL_V2 ? ProxyVersion.V2 : ProxyVersion.V1,
    },
  });
  transport.transportSocket = socket;
  return transportSocket(
    'envoy.transport_sockets.upstream_proxy_protocol',
    pack(typeUrls.proxyProtocolUpstream, ProxyProtocolUpstreamTransport, transport),
  );
}
