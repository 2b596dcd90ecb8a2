/**
 * Mutual TLS of gRPC without a proxy (gRFC A29): certificates come from the plugin `default` of the
 * bootstrap. No parameters, no SDS, no typed names: gRPC refuses them.
 */
import type { TransportSocket } from '@watershed/proto/gen/envoy/config/core/v3/base.ts';
import { CertificateValidationContext } from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/common.ts';
import {
  CommonTlsContext,
  DownstreamTlsContext,
  UpstreamTlsContext,
} from '@watershed/proto/gen/envoy/extensions/transport_sockets/tls/v3/tls.ts';
import { pack, typeUrls } from '@watershed/proto/any.ts';
import { meshRoots, tlsSocketName, transportSocket, workloadCertificate } from './tls.ts';

/** istio's name for it, in the bootstrap's `certificate_providers`. */
const plugin = 'default';

/** @param names identities of the server, one of which it must have; empty: any of the mesh */
export function proxylessClientSocket(names: readonly string[]): TransportSocket {
  const context = UpstreamTlsContext.fromPartial({});
  context.commonTlsContext = commonContext(names);
  const packed = pack(typeUrls.upstreamTlsContext, UpstreamTlsContext, context);
  return transportSocket(tlsSocketName, packed);
}

/** A server cannot say which identities it takes: the mesh's roots vouch for the client. */
export function proxylessServerSocket(): TransportSocket {
  const context = DownstreamTlsContext.fromPartial({ requireClientCertificate: true });
  context.commonTlsContext = commonContext([]);
  const packed = pack(typeUrls.downstreamTlsContext, DownstreamTlsContext, context);
  return transportSocket(tlsSocketName, packed);
}

function commonContext(names: readonly string[]): CommonTlsContext {
  const context = CommonTlsContext.fromPartial({});
  context.tlsCertificateProviderInstance = {
    instanceName: plugin,
    certificateName: workloadCertificate,
  };
  const validation = CertificateValidationContext.fromPartial({
    caCertificateProviderInstance: { instanceName: plugin, certificateName: meshRoots },
  });
  validation.matchSubjectAltNames = names.map((value) => ({
    matchPattern: { $case: 'exact', value },
    ignoreCase: false,
  }));
  context.validationContextType = { $case: 'validationContext', value: validation };
  return context;
}
