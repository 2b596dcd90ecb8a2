/** TLS that a listener ends. */
import type { TransportSocket } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import {
  CertificateValidationContext,
  TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import {
  CommonTlsContext,
  DownstreamTlsContext,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import {
  meshRoots,
  staticSecret,
  tlsSocketName,
  transportSocket,
  trustDomainNames,
  validateWith,
  workloadCertificate,
} from './tls.ts';

/** Mutual TLS between workloads, as the server sees it. */
export interface MeshServerTls {
  /** Clients of other trust domains are refused. */
  readonly trustDomains: readonly string[];
  /** TLS 1.3 alone; else 1.2 as well. Older ones are never spoken between workloads. */
  readonly only13: boolean;
}

const ciphers = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

/** With the certificates of the bootstrap; the client's is required. */
export function meshServerSocket({ trustDomains, only13 }: MeshServerTls): TransportSocket {
  const common = CommonTlsContext.fromPartial({ alpnProtocols: ['h2', 'http/1.1'] });
  common.tlsParams = TlsParameters.fromPartial({
    cipherSuites: ciphers,
    tlsMinimumProtocolVersion: only13 ? TlsProtocol.TLSv1_3 : TlsProtocol.TLSv1_2,
    tlsMaximumProtocolVersion: TlsProtocol.TLSv1_3,
  });
  common.tlsCertificateSdsSecretConfigs = [staticSecret(workloadCertificate)];
  const names = CertificateValidationContext.fromPartial({});
  names.matchTypedSubjectAltNames = trustDomainNames(trustDomains);
  common.validationContextType = validateWith(names, staticSecret(meshRoots));
  const context = DownstreamTlsContext.fromPartial({ requireClientCertificate: true });
  context.commonTlsContext = common;
  const packed = pack(typeUrls.downstreamTlsContext, DownstreamTlsContext, context);
  return transportSocket(tlsSocketName, packed);
}
