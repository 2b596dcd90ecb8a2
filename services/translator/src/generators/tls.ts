/** Parts of TLS contexts, upstream and downstream. */
import {
  CertificateValidationContext,
  SubjectAltNameMatcher,
  SubjectAltNameMatcher_SanType as SanType,
  TlsCertificate,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import type { CommonTlsContext } from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { SdsSecretConfig } from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type { TransportSocket } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import type { Any } from '@watershed/proto/gen/google/protobuf/any.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import { RawBuffer } from '@watershed/proto/gen/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.ts';
import { TlsVersion } from '@watershed/model/gen/model.ts';
import { specifierOf, type Streams } from './config-source.ts';

/** The workload's own certificate and the mesh's roots: static secrets of the bootstrap. */
export const workloadCertificate = 'default';
export const meshRoots = 'ROOTCA';

/** What istiod appends to a credential for the CA in the same secret. */
export const caSuffix = '-cacert';

/** Secrets may be missing for good; Envoy's 15 s let the rest go on (istiod). */
export function secretOver(streams: Streams, name: string): SdsSecretConfig {
  return SdsSecretConfig.fromPartial({
    name,
    sdsConfig: { configSourceSpecifier: specifierOf(streams), resourceApiVersion: 2 },
  });
}

export function staticSecret(name: string): SdsSecretConfig {
  return SdsSecretConfig.fromPartial({ name });
}

export function certificateFiles(chain: string, key: string): TlsCertificate {
  return TlsCertificate.fromPartial({
    certificateChain: { specifier: { $case: 'filename', value: chain } },
    privateKey: { specifier: { $case: 'filename', value: key } },
  });
}

/** Where Envoy's images (and Debian, Alpine) have them; Envoy itself knows of no place. */
const systemRoots = '/etc/ssl/certs/ca-certificates.crt';

/** @param file a path, or "system" */
export function rootsOf(file: string): CertificateValidationContext {
  const value = file === 'system' ? systemRoots : file;
  return CertificateValidationContext.fromPartial({
    trustedCa: { specifier: { $case: 'filename', value } },
  });
}

/** Exactly one of the names, whatever kind each is. */
export function namesOf(names: readonly string[]): SubjectAltNameMatcher[] {
  return names.map((name) =>
    SubjectAltNameMatcher.fromPartial({
      sanType: sanTypeOf(name),
      matcher: { matchPattern: { $case: 'exact', value: name } },
    }),
  );
}

const ip = /^(?:\d{1,3}\.){3}\d{1,3}$|^[\da-f:]*:[\da-f:]*$/i;

function sanTypeOf(name: string): SanType {
  if (name.includes('://')) return SanType.URI;
  if (ip.test(name)) return SanType.IP_ADDRESS;
  return name.includes('@') ? SanType.EMAIL : SanType.DNS;
}

/** Any identity of one of the trust domains. */
export function trustDomainNames(domains: readonly string[]): SubjectAltNameMatcher[] {
  return domains.map((domain) =>
    SubjectAltNameMatcher.fromPartial({
      sanType: SanType.URI,
      matcher: { matchPattern: { $case: 'prefix', value: `spiffe://${domain}/` } },
    }),
  );
}

type Validation = CommonTlsContext['validationContextType'];

export function validateWith(
  context: CertificateValidationContext,
  roots: SdsSecretConfig,
): Validation {
  return {
    $case: 'combinedValidationContext',
    value: {
      defaultValidationContext: context,
      validationContextSdsSecretConfig: roots,
      validationContextCertificateProvider: undefined,
      validationContextCertificateProviderInstance: undefined,
    },
  };
}

export function tlsProtocol(version: TlsVersion, otherwise: TlsProtocol): TlsProtocol {
  switch (version) {
    case TlsVersion.TLS_VERSION_1_0:
      return TlsProtocol.TLSv1_0;
    case TlsVersion.TLS_VERSION_1_1:
      return TlsProtocol.TLSv1_1;
    case TlsVersion.TLS_VERSION_1_2:
      return TlsProtocol.TLSv1_2;
    case TlsVersion.TLS_VERSION_1_3:
      return TlsProtocol.TLSv1_3;
    default:
      return otherwise;
  }
}

export function transportSocket(name: string, typed: Any): TransportSocket {
  return { name, configType: { $case: 'typedConfig', value: typed } };
}

export const tlsSocketName = 'envoy.transport_sockets.tls';

export function rawBufferSocket(): TransportSocket {
  return transportSocket(
    'envoy.transport_sockets.raw_buffer',
    pack(typeUrls.rawBuffer, RawBuffer, {}),
  );
}
