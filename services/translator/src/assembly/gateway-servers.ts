/** What a server of a gateway says of TLS, as the argument of its filter chain. */
import {
  type GatewayListener,
  Protocol,
  type ServerTls,
  ServerTlsMode,
} from '@watershed/model/gen/model.ts';
import type { ClientCheck, GatewayTls, Identity, Roots } from '../generators/gateway-tls.ts';
import { caSuffix } from '../generators/tls.ts';

export type ServerChain = Served | Refusal;

export interface Served {
  readonly kind: 'served';
  readonly tls: GatewayTls;
  /** Names of secrets that it cannot do without. */
  readonly secrets: readonly string[];
}

/** Why it cannot be served at all. */
export interface Refusal {
  readonly kind: 'refused';
  readonly field: string;
  readonly value: string;
  readonly reason: string;
}

/** @param certificates the proxy's bootstrap has the workload's */
export function serverChain({ tls }: GatewayListener, certificates: boolean): ServerChain {
  if (tls === undefined) return refusal('tls', '', 'HTTPS needs TLS settings');
  const { minVersion, maxVersion, cipherSuites } = tls;
  const identity = identityOf(tls);
  if (identity === undefined) {
    return refusal('tls.credentialName', '', 'neither a credential nor files are named');
  }
  if (identity.kind === 'workload' && !certificates) {
    const reason = "the proxy's bootstrap has no certificates (xdsctl bootstrap --cert-dir)";
    return refusal('tls.mode', 'ISTIO_MUTUAL', reason);
  }
  const client = clientOf(tls);
  if (client === noRoots) {
    return refusal('tls.caCertificates', '', 'clients are to be verified, but by no roots');
  }
  const roots = client?.roots.kind === 'secret' ? [client.roots.name] : [];
  const secrets = [...(identity.kind === 'secrets' ? identity.names : []), ...roots];
  return {
    kind: 'served',
    tls: { identity, client, minVersion, maxVersion, cipherSuites },
    secrets,
  };
}

function refusal(field: string, value: string, reason: string): Refusal {
  return { kind: 'refused', field, value, reason };
}

function identityOf(tls: ServerTls): Identity | undefined {
  const { credentials, serverCertificate, privateKey } = tls;
  if (tls.mode === ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL) return { kind: 'workload' };
  if (credentials.length > 0) return { kind: 'secrets', names: credentials };
  if (serverCertificate === '' || privateKey === '') return undefined;
  return { kind: 'files', certificate: serverCertificate, key: privateKey };
}

const noRoots = Symbol('no roots');

function clientOf(tls: ServerTls): ClientCheck | undefined | typeof noRoots {
  const { mode, subjectAltNames, certificateHashes } = tls;
  const optional = mode === ServerTlsMode.SERVER_TLS_MODE_OPTIONAL_MUTUAL;
  const mutual = [
    ServerTlsMode.SERVER_TLS_MODE_MUTUAL,
    ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL,
  ].some((one) => one === mode);
  if (!optional && !mutual) return undefined;
  const roots = rootsOf(tls);
  if (roots === undefined) return noRoots;
  return { required: mutual, roots, subjectAltNames, certificateHashes };
}

/** The roots' own secret, else those beside the first certificate, else a file. */
function rootsOf({
  mode,
  caCredential,
  credentials,
  caCertificates,
}: ServerTls): Roots | undefined {
  if (mode === ServerTlsMode.SERVER_TLS_MODE_ISTIO_MUTUAL) return { kind: 'workload' };
  const credential = caCredential === '' ? credentials[0] : caCredential;
  if (credential !== undefined) {
    const name = credential.endsWith(caSuffix) ? credential : `${credential}${caSuffix}`;
    return { kind: 'secret', name };
  }
  return caCertificates === '' ? undefined : { kind: 'file', file: caCertificates };
}

export function isGrpcWeb({ protocol }: GatewayListener): boolean {
  return protocol === Protocol.PROTOCOL_GRPC_WEB;
}
