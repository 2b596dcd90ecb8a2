/** TLS that a gateway ends, with certificates over SDS, from files, or the workload's own. */
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
import type { ServerTls } from '@watershed/model/gen/model.ts';
import {
  certificateFiles,
  namesOf,
  rootsOf,
  secretOverAds,
  tlsProtocol,
  tlsSocketName,
  transportSocket,
  validateWith,
} from './tls.ts';

export interface GatewayTls extends Pick<
  ServerTls,
  'subjectAltNames' | 'certificateHashes' | 'minVersion' | 'maxVersion' | 'cipherSuites'
> {
  /** Names over SDS; empty: the files. */
  readonly certificates: readonly string[];
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Whether clients show a certificate, and whether they must. */
  readonly client: 'none' | 'optional' | 'required';
  /** A name over SDS; '': the file. */
  readonly roots: string;
  readonly rootsFile: string;
}

export function gatewaySocket(tls: GatewayTls): TransportSocket {
  const common = CommonTlsContext.fromPartial({ alpnProtocols: ['h2', 'http/1.1'] });
  common.tlsParams = TlsParameters.fromPartial({
    // istiod: at least 1.2 unless the user says otherwise.
    tlsMinimumProtocolVersion: tlsProtocol(tls.minVersion, TlsProtocol.TLSv1_2),
    tlsMaximumProtocolVersion: tlsProtocol(tls.maxVersion, TlsProtocol.TLS_AUTO),
    cipherSuites: [...tls.cipherSuites],
  });
  if (tls.certificates.length > 0) {
    common.tlsCertificateSdsSecretConfigs = tls.certificates.map(secretOverAds);
  } else {
    common.tlsCertificates = [certificateFiles(tls.certificateFile, tls.keyFile)];
  }
  if (tls.client !== 'none') common.validationContextType = validation(tls);
  const context = DownstreamTlsContext.fromPartial({
    requireClientCertificate: tls.client === 'required',
  });
  context.commonTlsContext = common;
  const packed = pack(typeUrls.downstreamTlsContext, DownstreamTlsContext, context);
  return transportSocket(tlsSocketName, packed);
}

function validation(tls: GatewayTls): CommonTlsContext['validationContextType'] {
  const checks = CertificateValidationContext.fromPartial({
    verifyCertificateHash: [...tls.certificateHashes],
  });
  checks.matchTypedSubjectAltNames = namesOf(tls.subjectAltNames);
  if (tls.roots !== '') return validateWith(checks, secretOverAds(tls.roots));
  const { trustedCa } = rootsOf(tls.rootsFile);
  checks.trustedCa = trustedCa;
  return { $case: 'validationContext', value: checks };
}
