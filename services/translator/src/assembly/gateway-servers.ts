/** What a server of a gateway says of TLS, as the argument of its filter chain. */
import { Protocol, ServerTlsMode, type ServerTls } from '@watershed/model/gen/model.ts';
import type { ChainTls } from '../generators/gateway-listener.ts';
import type { MeshServerTls } from '../generators/downstream-tls.ts';
import { caSuffix } from '../generators/tls.ts';
import type { Server } from './gateways.ts';

export interface ServerChain {
  readonly tls: ChainTls | undefined;
  /** Names of secrets that it cannot do without. */
  readonly secrets: readonly string[];
  /** Why it cannot be served at all. */
  readonly refusal:
    | { readonly field: string; readonly value: string; readonly reason: string }
    | undefined;
}

/** @param mesh `undefined`: the proxy has no certificate of the mesh */
export function serverChain({ listener }: Server, mesh: MeshServerTls | undefined): ServerChain {
  const tls = listener.tls;
  if (tls === undefined) return { tls: undefined, secrets: [], refusal: undefined };
  if (tls.mode === ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL) {
    if (mesh !== undefined) {
      return { tls: { kind: 'mesh', tls: mesh }, secrets: [], refusal: undefined };
    }
    const reason = "the proxy's bootstrap has no certificates (xdsctl bootstrap --cert-dir)";
    return {
      tls: undefined,
      secrets: [],
      refusal: { field: 'mode', value: 'ISTIO_MUTUAL', reason },
    };
  }
  const client = clientOf(tls.mode);
  const roots = client === 'none' ? '' : rootsName(tls);
  const secrets = [...tls.credentials, ...(roots === '' ? [] : [roots])];
  const own = {
    certificates: tls.credentials,
    certificateFile: tls.serverCertificate,
    keyFile: tls.privateKey,
    client,
    roots,
    rootsFile: client === 'none' ? '' : tls.caCertificates,
    subjectAltNames: client === 'none' ? [] : tls.subjectAltNames,
    certificateHashes: client === 'none' ? [] : tls.certificateHashes,
    minVersion: tls.minVersion,
    maxVersion: tls.maxVersion,
    cipherSuites: tls.cipherSuites,
  } as const;
  return { tls: { kind: 'own', tls: own }, secrets, refusal: undefined };
}

function clientOf(mode: ServerTlsMode): 'none' | 'optional' | 'required' {
  switch (mode) {
    case ServerTlsMode.SERVER_TLS_MODE_MUTUAL:
      return 'required';
    case ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL:
      return 'optional';
    default:
      return 'none';
  }
}

/** The roots' own secret, or those beside the certificate; '' for a file. */
function rootsName({ caCredential, credentials }: ServerTls): string {
  if (caCredential.endsWith(caSuffix)) return caCredential;
  if (caCredential !== '') return `${caCredential}${caSuffix}`;
  const [first] = credentials;
  return first === undefined ? '' : `${first}${caSuffix}`;
}

export function isGrpcWeb(server: Server): boolean {
  return server.listener.protocol === Protocol.PROTOCOL_GRPC_WEB;
}

/** A server name that Envoy can match on: "*" is any. */
export function serverNames(server: Server): readonly string[] {
  const hosts = server.listener.hosts.map(({ host }) => host);
  return hosts.includes('*') ? [] : [...new Set(hosts)].sort();
}
