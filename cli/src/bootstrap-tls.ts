/** How Envoy proves who it is to the control plane, and knows it: as parts of its bootstrap. */

export interface XdsTls {
  /** PEM; signs the control plane's certificate. */
  readonly rootCertFile: string;
  /** Holds `cert-chain.pem` and `key.pem`, which are shown; absent: none are. */
  readonly certDir?: string | undefined;
  /** Is sent as bearer token. */
  readonly tokenFile?: string | undefined;
  /** A name (or IP) that the control plane's certificate must have. */
  readonly serverName: string;
}

const types = 'type.googleapis.com/envoy';

export function isIpAddress(host: string): boolean {
  return /^[0-9.]+$/u.test(host) || host.includes(':');
}

export function upstreamTls(tls: XdsTls): Record<string, unknown> {
  const isIp = isIpAddress(tls.serverName);
  const own = tls.certDir === undefined ? {} : { tls_certificates: [fileCertificate(tls.certDir)] };
  return {
    name: 'envoy.transport_sockets.tls',
    typed_config: {
      '@type': `${types}.extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
      ...(isIp ? {} : { sni: tls.serverName }),
      common_tls_context: {
        alpn_protocols: ['h2'],
        tls_params: { tls_minimum_protocol_version: 'TLSv1_2' },
        ...own,
        validation_context: {
          trusted_ca: { filename: tls.rootCertFile },
          match_typed_subject_alt_names: [
            { san_type: isIp ? 'IP_ADDRESS' : 'DNS', matcher: { exact: tls.serverName } },
          ],
        },
      },
    },
  };
}

/** `cert-chain.pem` and `key.pem` of a directory, as istio's `/etc/certs` has them. */
export function fileCertificate(dir: string): Record<string, unknown> {
  return {
    certificate_chain: { filename: `${dir}/cert-chain.pem` },
    private_key: { filename: `${dir}/key.pem` },
  };
}

/**
 * The control plane by Envoy's second gRPC client: only that one reads a token's file for each
 * connect, and tokens are renewed within the hour. (A static secret is read once.)
 */
export function tokenService(
  tls: XdsTls & { readonly tokenFile: string },
  target: string,
): Record<string, unknown> {
  const plugin = 'envoy.grpc_credentials.file_based_metadata';
  return {
    google_grpc: {
      target_uri: target,
      stat_prefix: 'xds-grpc',
      channel_credentials: { ssl_credentials: { root_certs: { filename: tls.rootCertFile } } },
      credentials_factory_name: plugin,
      call_credentials: [
        {
          from_plugin: {
            name: plugin,
            typed_config: {
              '@type': `${types}.config.grpc_credential.v3.FileBasedMetadataConfig`,
              secret_data: { filename: tls.tokenFile },
              header_key: 'authorization',
              header_prefix: 'Bearer ',
            },
          },
        },
      ],
      channel_args: {
        args: {
          'grpc.ssl_target_name_override': { string_value: tls.serverName },
          'grpc.keepalive_time_ms': { int_value: 30_000 },
          'grpc.initial_reconnect_backoff_ms': { int_value: 500 },
          'grpc.max_reconnect_backoff_ms': { int_value: 5_000 },
        },
      },
    },
  };
}
