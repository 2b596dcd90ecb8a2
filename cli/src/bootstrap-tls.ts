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
 * Filters of the control plane's cluster, which all of Envoy's streams to it pass: those that its
 * resources ask for too. The file is read for each stream, as tokens are renewed within the hour;
 * Envoy's own injectors of credentials read a static one once.
 */
export function tokenSender(file: string): readonly Record<string, unknown>[] {
  // A string of JSON is one of Lua, but for escapes of control characters.
  const path = JSON.stringify(file);
  const script = `function envoy_on_request(request)
  local file = assert(io.open(${path}))
  request:headers():replace("authorization", "Bearer " .. file:read("*l"))
  file:close()
end`;
  return [
    {
      name: 'envoy.filters.http.lua',
      typed_config: {
        '@type': `${types}.extensions.filters.http.lua.v3.Lua`,
        default_source_code: { inline_string: script },
      },
    },
    {
      name: 'envoy.filters.http.upstream_codec',
      typed_config: { '@type': `${types}.extensions.filters.http.upstream_codec.v3.UpstreamCodec` },
    },
  ];
}
