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
import type { Streams } from './config-source.ts';
import {
  certificateFiles,
  meshRoots,
  namesOf,
  rootsOf,
  secretOver,
  staticSecret,
  tlsProtocol,
  tlsSocketName,
  transportSocket,
  validateWith,
  workloadCertificate,
} from './tls.ts';

export interface GatewayTls extends Pick<ServerTls, 'minVersion' | 'maxVersion' | 'cipherSuites'> {
  readonly identity: Identity;
  /** `undefined`: clients show no certificate. */
  readonly client: ClientCheck | undefined;
}

/** Who the server is. */
export type Identity =
  | { readonly kind: 'secrets'; readonly names: readonly string[] }
  | { readonly kind: 'files'; readonly certificate: string; readonly key: string }
  /** The workload's certificate, as between sidecars. */
  | { readonly kind: 'workload' };

/** Who clients are. */
export interface ClientCheck {
  readonly required: boolean;
  readonly roots: Roots;
  /** One of these, if there are any. */
  readonly subjectAltNames: readonly string[];
  /** SHA-256 of certificates, in hexadecimal; one of these, if there are any. */
  readonly certificateHashes: readonly string[];
}

export type Roots =
  | { readonly kind: 'secret'; readonly name: string }
  /** A path, or "system". */
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'workload' };

export function gatewaySocket(tls: GatewayTls, streams: Streams): TransportSocket {
  const common = CommonTlsContext.fromPartial({ alpnProtocols: ['h2', 'http/1.1'] });
  common.tlsParams = TlsParameters.fromPartial({
    // Envoy's own default for servers, said aloud.
    tlsMinimumProtocolVersion: tlsProtocol(tls.minVersion, TlsProtocol.TLSv1_2),
    tlsMaximumProtocolVersion: tlsProtocol(tls.maxVersion, TlsProtocol.TLS_AUTO),
    cipherSuites: [...tls.cipherSuites],
  });
  identify(common, tls.identity, streams);
  if (tls.client !== undefined) common.validationContextType = validation(tls.client, streams);
  const context = DownstreamTlsContext.fromPartial({
    requireClientCertificate: tls.client?.required === true,
  });
  context.commonTlsContext = common;
  const packed = pack(typeUrls.downstreamTlsContext, DownstreamTlsContext, context);
  return transportSocket(tlsSocketName, packed);
}

function identify(common: CommonTlsContext, identity: Identity, streams: Streams): void {
  switch (identity.kind) {
    case 'secrets':
      common.tlsCertificateSdsSecretConfigs = identity.names.map((name) =>
        secretOver(streams, name),
      );
      return;
    case 'files':
      common.tlsCertificates = [certificateFiles(identity.certificate, identity.key)];
      return;
    case 'workload':
      common.tlsCertificateSdsSecretConfigs = [staticSecret(workloadCertificate)];
  }
}

function validation(
  client: ClientCheck,
  streams: Streams,
): CommonTlsContext['validationContextType'] {
  const { roots, subjectAltNames, certificateHashes } = client;
  const checks =
    roots.kind === 'file' ? rootsOf(roots.file) : CertificateValidationContext.fromPartial({});
  checks.matchTypedSubjectAltNames = namesOf(subjectAltNames);
  checks.verifyCertificateHash = [...certificateHashes];
  switch (roots.kind) {
    case 'file':
      return { $case: 'validationContext', value: checks };
    case 'secret':
      return validateWith(checks, secretOver(streams, roots.name));
    case 'workload':
      return validateWith(checks, staticSecret(meshRoots));
  }
}
